//! Access without approval in an emergency, over SSH, and the review that follows it.

use serde_json::json;

use crate::gate::{Gate, Plan, SOON};

/// Bob's leads may break the glass; carol and bob may review.
fn gate() -> (Gate, tempfile::NamedTempFile) {
    let told = tempfile::NamedTempFile::new().unwrap();
    let mut plan = Plan::base();
    plan.resources += "---\nkind: Role\nmetadata: {name: fire-brigade}\nspec: {break_glass: \
        {max_duration: 30m}, allow: [{environments: [prod], actions: [shell, exec]}]}\n---\nkind: \
        Role\nmetadata: {name: reviewer}\nspec: {control: [review_uses]}\n---\nkind: \
        RoleAssignment\nmetadata: {name: fire-brigade}\nspec: {role: fire-brigade, groups: \
        [leads]}\n---\nkind: RoleAssignment\nmetadata: {name: reviewers}\nspec: {role: reviewer, \
        users: [bob, carol]}\n";
    plan.configuration += "[[notify]]\nname = \"on-call\"\nevents = [\"break_glass\", \"review_closed\"]\ncommand = { argv = [\"/usr/bin/tee\", \"-a\", \"TOLD\"] }\n"
        .replace("TOLD", told.path().to_str().unwrap())
        .as_str();
    (plan.start(), told)
}

#[test]
fn the_glass_is_broken_alone_is_heard_and_holds_until_somebody_else_has_looked() {
    let (gate, told) = gate();
    let refused = gate.client("bob", "core").run(&["true"]).assert_refused();
    assert!(!refused.stderr_text().contains("fire-brigade"), "{}", refused.describe());
    let asked = json!({"targets": ["core"], "reason": "the site is down"});
    let (status, text) = gate.api("alice").call("POST", "/v1/break-glass", Some(&asked));
    assert!(status == 404 && text.contains("not_eligible"), "{status} {text}");

    let broken = gate.api("bob").post("/v1/break-glass", &asked);
    let (review, grant) = (broken["review"].as_str().unwrap(), broken["grant"]["id"].as_str());
    let said = gate.wait_for_entry("the use", |entry| entry.activity() == "break_glass");
    assert_eq!(said.event()["severity_id"], 5, "heard as critical");
    let deadline = std::time::Instant::now() + SOON;
    let heard = || std::fs::read_to_string(told.path()).unwrap();
    while !heard().contains("BREAK-GLASS: bob took role fire-brigade out for core (prod)") {
        assert!(std::time::Instant::now() < deadline, "nobody was told: {:?}", heard());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!((said.user(), said.target(), said.detail("review")), ("bob", "core", review));
    let code = gate.code("bob");
    let shell = gate.client("bob", "core").answer("One-time code", &code).run(&["echo in"]);
    let _ = shell.assert_success();
    let session = gate.wait_for_entry("the session", |entry| entry.activity() == "session.open");
    assert_eq!(session.detail("recording"), "required");

    // Until it has been reviewed nobody takes the role out, and bob does not review it.
    let (status, text) = gate.api("bob").call("POST", "/v1/break-glass", Some(&asked));
    assert!(status == 409 && text.contains("has not been reviewed"), "{status} {text}");
    let close = format!("/v1/reviews/{review}/close");
    let findings = json!({"findings": "one command, as said"});
    let (status, text) = gate.api("bob").call("POST", &close, Some(&findings));
    assert!(status == 403 && text.contains("nobody reviews their own use"), "{status} {text}");
    let (status, text) = gate.api("carol").call("POST", &close, Some(&findings));
    assert!(status == 409 && text.contains("the use lasts until"), "{status} {text}");
    gate.api("bob").post(
        &format!("/v1/grants/{}/revoke", grant.unwrap()),
        &json!({"reason": "the site is up"}),
    );
    let shown = gate.api("carol").get(&format!("/v1/reviews/{review}"));
    assert_eq!((&shown["can_close"], &shown["used"]["sessions"]), (&json!(true), &json!(1)));
    let closed = gate.api("carol").post(&close, &findings);
    assert_eq!(
        (&closed["state"]["state"], &closed["state"]["by"]),
        (&json!("closed"), &json!("carol"))
    );
    gate.api("bob").post("/v1/break-glass", &asked);
}

#[test]
fn of_many_uses_at_once_one_opens_the_door_and_an_ordinary_request_opens_none() {
    let (gate, _told) = gate();
    let asked = json!({"targets": ["core"], "reason": "the site is down"});
    let request = json!({"role": "fire-brigade", "duration": "1h", "reason": "in peace"});
    let (status, text) = gate.api("bob").call("POST", "/v1/requests", Some(&request));
    assert!(status == 409 && text.contains("break_glass_role"), "{status} {text}");
    let api = gate.api("bob");
    let done: Vec<u16> = std::thread::scope(|scope| {
        let calls =
            (0..8).map(|_| scope.spawn(|| api.call("POST", "/v1/break-glass", Some(&asked)).0));
        calls.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|status| **status == 201).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|status| **status == 409).count(), 7, "{done:?}");
    assert_eq!(gate.api("bob").get("/v1/grants?mine=true&open=true").as_array().unwrap().len(), 1);
    // Nobody else's use and nobody's second one before the review, by whatever path.
    let (status, _) = gate.api("bob").call("POST", "/v1/break-glass", Some(&asked));
    assert_eq!(status, 409);
}
