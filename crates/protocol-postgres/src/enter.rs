//! From a client that arrived to a session that runs: sign in, authorise, open, connect, relay.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_domain::{Action, DatabaseAct, Decision, Denial, Login, TargetName, UserName};
use portcullis_gateway::{Asked, Authenticated, EndReason, Gateway, LiveSession, Refused};
use tokio::io::AsyncWriteExt;

use crate::back::{self, Stream};
use crate::front::{self, Arrived};
use crate::relay::{self, Shared};
use crate::serve::Common;
use crate::wire::make::{self, state};
use crate::wire::startup::Session;

/// Start-up parameters that only change how answers look; every other one asks for `db_session`.
const HARMLESS: [&str; 8] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "timezone",
    "extra_float_digits",
    "bytea_output",
    "lc_messages",
];
/// What a person is told whose second factor is missing or too old.
const FACTOR: &str = "this target asks for a second factor, which PostgreSQL's clients cannot ask \
    for\nrun `portcullis login`, then connect with the certificate it keeps \
    (PGSERVICEFILE=~/.config/portcullis/pg_service.conf, service=portcullis)";

/// Where a client wants to go, in canonical names.
struct Destination {
    user: UserName,
    login: Option<Login>,
    target: TargetName,
    database: Option<String>,
}

/// Why a client is not let in: SQLSTATE and what it is told.
type Refusal = (&'static str, String);

/// Serves a client to its end. `signed_in` is called once it is no stranger any more.
pub(crate) async fn serve(
    gateway: &Gateway,
    common: &Common,
    arrived: Arrived,
    source: IpAddr,
    signed_in: impl FnOnce(),
) -> std::io::Result<()> {
    let Arrived { mut stream, session, certificate } = arrived;
    if session.minor > 0 || !session.protocol_options.is_empty() {
        stream.write_all(&make::negotiate(&session.protocol_options)).await?;
    }
    let destination = match Destination::of(&session) {
        Ok(destination) => destination,
        Err(told) => return front::tell(&mut stream, state::SIGN_IN, &told).await,
    };
    let who = match sign_in(gateway, &mut stream, &destination, certificate, source).await? {
        Ok(who) => who,
        Err((state, told)) => return front::tell(&mut stream, state, &told).await,
    };
    signed_in();
    let (live, database) = match open(gateway, &who, &destination, &session).await {
        Ok(opened) => opened,
        Err((state, told)) => return front::tell(&mut stream, state, &told).await,
    };
    let ran = run(common, stream, &live, &session, database).await;
    live.close().await;
    ran
}

impl Destination {
    /// `user` is `USER` or `USER:LOGIN`, `database` is `TARGET` or `TARGET/DATABASE`.
    fn of(session: &Session) -> Result<Self, String> {
        let how = "\nconnect with user=USER or user=USER:LOGIN and dbname=TARGET/DATABASE";
        let wrong = |error: &dyn std::fmt::Display| format!("{error}{how}");
        let parameter = |name: &str| session.parameters.get(name).map(String::as_str);
        let user = parameter("user").unwrap_or_default();
        let (user, login) = match user.split_once(':') {
            Some((user, login)) => (user, Some(login)),
            None => (user, None),
        };
        // Without a database libpq asks for one by the user's name: that is no target.
        let place = parameter("database").unwrap_or_default();
        let (target, database) = match place.split_once('/') {
            Some((target, database)) => (target, Some(database)),
            None => (place, None),
        };
        Ok(Self {
            user: UserName::new(user).map_err(|error| wrong(&error))?,
            login: login.map(Login::new).transpose().map_err(|error| wrong(&error))?,
            target: TargetName::new(target).map_err(|error| wrong(&error))?,
            database: database.filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    /// The form the sign-in is bound to.
    fn claimed(&self) -> String {
        match &self.login {
            Some(login) => format!("{}:{login}@{}", self.user, self.target),
            None => format!("{}:{}", self.user, self.target),
        }
    }
}

/// By the client's certificate where it showed one, otherwise by a password.
async fn sign_in(
    gateway: &Gateway,
    stream: &mut Stream,
    destination: &Destination,
    certificate: Option<rustls::pki_types::CertificateDer<'static>>,
    source: IpAddr,
) -> std::io::Result<Result<Authenticated, Refusal>> {
    let mut flow = gateway.sign_in(source);
    let claimed = destination.claimed();
    let asked = match certificate {
        Some(certificate) => flow.tls_certificate(&claimed, &certificate).await,
        None => match front::ask_password(stream).await? {
            Some(password) => flow.password(&claimed, password).await,
            None => return Ok(Err((state::PASSWORD, "a password was expected".into()))),
        },
    };
    Ok(match asked {
        Ok(Asked::Done) => flow.finish().ok_or_else(|| (state::SIGN_IN, FACTOR.to_owned())),
        Ok(_) => Err((state::SIGN_IN, FACTOR.to_owned())),
        Err(error) => Err((state::PASSWORD, error.to_string())),
    })
}

/// Authorises the connection, and what its start-up asks for, and opens the session.
async fn open(
    gateway: &Gateway,
    who: &Authenticated,
    destination: &Destination,
    session: &Session,
) -> Result<(LiveSession, String), Refusal> {
    let Destination { target, login, .. } = destination;
    let database = destination.database.clone().unwrap_or_else(|| {
        let snapshot = gateway.snapshot();
        let found = snapshot.facts.targets.get(target).and_then(|found| found.postgres());
        found.and_then(|found| found.databases.first().cloned()).unwrap_or_default()
    });
    let action = |act| Action::Database { act, database: database.clone() };
    let connect = action(DatabaseAct::Connect);
    let permit = gateway
        .authorize(who, target, login.as_ref(), connect)
        .await
        .map_err(|refused| (state::REFUSED, told(&refused)))?;
    let offered =
        permit.target().postgres().is_some_and(|found| found.databases.contains(&database));
    if !offered {
        let told = format!("`{target}` has no database `{}` here", database.escape_debug());
        return Err((state::DATABASE, told));
    }
    let client = session.parameters.get("application_name").cloned().unwrap_or_default();
    let opened = gateway.open(permit, format!("PostgreSQL {client}")).await;
    let live = opened.map_err(|error| (state::REFUSED, error.to_string()))?;
    for act in asked_at_startup(session) {
        if let Err(refused) = live.authorize(action(act)).await {
            let first = format!("`{}` is refused here, which the start-up asks for", act.kind());
            live.end(EndReason::ClientLeft);
            live.close().await;
            return Err((state::REFUSED, format!("{first}\n{}", refused.told())));
        }
    }
    Ok((live, database))
}

/// What start-up parameters ask for beside connecting.
fn asked_at_startup(session: &Session) -> Vec<DatabaseAct> {
    let mut acts = Vec::new();
    if is_replication(session) {
        acts.push(DatabaseAct::Replicate);
    }
    let known = |name: &str| {
        HARMLESS.contains(&name.to_ascii_lowercase().as_str())
            || ["user", "database", "replication"].contains(&name)
    };
    if !session.parameters.keys().all(|name| known(name)) {
        acts.push(DatabaseAct::Session);
    }
    acts
}

/// Whatever is not surely `false` makes the server a sender of its log.
fn is_replication(session: &Session) -> bool {
    let off = ["false", "off", "no", "0"];
    session.parameters.get("replication").is_some_and(|value| !off.contains(&value.as_str()))
}

/// What the server is told at start-up. Where no act that changes anything is allowed, the server
/// is asked for read-only transactions, too; lifting that is an act of its own.
fn parameters(live: &LiveSession, session: &Session, database: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all = vec![pair("user", live.login().as_str()), pair("database", database)];
    let own = ["user", "database"];
    let given = session.parameters.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    all.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    let may_change = DatabaseAct::ALL
        .into_iter()
        .filter(|act| act.changes())
        .any(|act| live.may(Action::Database { act, database: database.to_owned() }));
    if !may_change {
        all.retain(|(name, _)| !name.eq_ignore_ascii_case("default_transaction_read_only"));
        all.push(pair("default_transaction_read_only", "on"));
    }
    all
}

/// Connects to the server, greets the client and relays.
async fn run(
    common: &Common,
    mut stream: Stream,
    live: &LiveSession,
    session: &Session,
    database: String,
) -> std::io::Result<()> {
    let parameters = parameters(live, session, &database);
    let connected = tokio::select! {
        connected = back::connect(live, &parameters) => connected.map_err(|e| e.to_string()),
        reason = live.ended() => Err(reason.told()),
    };
    let server = match connected {
        Ok(server) => server,
        Err(told) => return front::tell(&mut stream, state::NO_SERVER, &told).await,
    };
    let Some(lent) = common.keys.lend(server.cancel.clone()) else {
        return front::tell(&mut stream, state::NO_SERVER, "the gate has no randomness").await;
    };
    let mut greeting = make::authentication_ok();
    greeting.extend(&server.greeting);
    greeting.extend(make::key_data(lent.process, lent.key));
    greeting.extend(make::message(b'Z', &[make::IDLE]));
    stream.write_all(&greeting).await?;
    stream.flush().await?;
    let classifier = Arc::clone(&common.classifier);
    let replication = is_replication(session);
    let shared = Shared::new(live.clone(), database, replication, server.modes, classifier);
    relay::run(&shared, stream, server.stream).await;
    // A statement that still runs would outlive the session.
    if !shared.tracker().is_idle() {
        server.cancel.send().await;
    }
    Ok(())
}

/// The refusal in this protocol's words.
fn told(refused: &Refused) -> String {
    match refused.decision() {
        Some(Decision::Deny(Denial::Login { choices })) if !choices.is_empty() => format!(
            "name the login: user=USER:LOGIN with one of {}",
            choices.iter().map(Login::as_str).collect::<Vec<_>>().join(", ")
        ),
        Some(Decision::StepUp { .. }) => FACTOR.to_owned(),
        _ => refused.told().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(pairs: &[(&str, &str)]) -> Session {
        let parameters = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Session { parameters, ..Session::default() }
    }

    #[test]
    fn user_and_database_name_person_login_target_and_database() {
        let read = |user: &str, database: &str| {
            Destination::of(&session(&[("user", user), ("database", database)]))
        };
        let read_well = read("Alice:app_ro", "Orders-DB/Orders").unwrap();
        assert_eq!(read_well.claimed(), "alice:app_ro@orders-db");
        assert_eq!(read_well.database.as_deref(), Some("Orders"));
        assert_eq!(read("alice", "orders-db").unwrap().claimed(), "alice:orders-db");
        for (user, database) in
            [("", "t"), ("a@b", "t"), ("alice:a@b", "t"), ("alice", ""), ("alice", "/x")]
        {
            assert!(read(user, database).is_err(), "{user} {database}");
        }
    }

    #[test]
    fn what_a_start_up_sets_beyond_looks_is_an_act_of_its_own() {
        let acts = |pairs: &[(&str, &str)]| asked_at_startup(&session(pairs));
        assert!(
            acts(&[("user", "a"), ("TimeZone", "UTC"), ("application_name", "psql")]).is_empty()
        );
        assert_eq!(acts(&[("options", "-c search_path=x")]), [DatabaseAct::Session]);
        assert_eq!(acts(&[("replication", "database")]), [DatabaseAct::Replicate]);
        assert!(acts(&[("replication", "off")]).is_empty());
    }
}
