//! Which questions are asked, and what their answers prove.
//!
//! An invariant holds if no permit lets a request through that it describes and that no forbid
//! stops. Every step below asks about more than that request, so that a "no" is a proof:
//!
//! 1. As if everything were permitted: do the forbids stop it? Where they do, the permits do not
//!    matter, however many there are.
//! 2. As if a permit let everything through in the environments it names. Permits that name
//!    environments of the same kind share the question.
//! 3. As if a permit asked for nothing that the invariant does not look at. Permits that are left
//!    share questions, halved until each is proved or alone (`together.rs`).
//! 4. The permit itself, without the role that gives it where that cannot matter. Permits that
//!    differ in nothing else share the question.
//!
//! Only the fourth can find a counterexample. A forbid of a role counts once a model turns up that
//! `decide` refuses because of it; then the question is asked again with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use cedar_policy::{EntityUid, Policy, PolicyId};
use cedar_policy_symcc::Env;
use portcullis_domain::{ActionKind, GroupName};
use portcullis_policy::{Effect, PolicySource};

use crate::counterexample::{Ground, Tried, confirm};
use crate::item::{Item, may_fail};
use crate::memory::Memory;
use crate::question::Asker;
use crate::report::{Counterexample, Proof, Status};
use crate::statement::Statement;
use crate::work::Bench;
use crate::world;

/// Most forbids of raw policies that a question begins with.
const MAX_FORBIDS: usize = 32;
/// How often a question is asked again with another forbid.
const MAX_REFINEMENTS: usize = 16;
/// Counterexamples looked for per invariant; more would not be read.
const MAX_COUNTEREXAMPLES: usize = 8;
/// Reasons kept for not having a proof.
const MAX_WHYS: usize = 4;

const EVERYTHING: &str = "permit (principal, action, resource);";

/// One call.
pub(crate) struct Run<'a> {
    pub(crate) bench: Bench<'a>,
    pub(crate) memory: Memory<'a>,
    pub(crate) ground: Ground<'a>,
    pub(crate) items: &'a [Item],
}

/// An invariant for kinds of action that make no difference to it.
pub(crate) struct Case<'a> {
    pub(crate) statement: &'a Statement,
    index: usize,
    pub(crate) kind: ActionKind,
    pub(crate) kinds: BTreeSet<ActionKind>,
    pub(crate) forbids: Vec<&'a Item>,
}

/// Permits that share a question.
pub(crate) struct Shared<'a> {
    pub(crate) case: &'a Case<'a>,
    pub(crate) text: String,
    pub(crate) items: Vec<&'a Item>,
}

/// What came of a question about permits.
enum Answer {
    Proved,
    /// Proved with forbids of the first permit's own, which say nothing of other permits and kinds.
    ProvedOfOne,
    Broken(Box<Counterexample>),
    Unproved(String, Option<Box<Counterexample>>),
}

/// Where an invariant stands so far.
#[derive(Default)]
pub(crate) struct Standing {
    counterexamples: Vec<Counterexample>,
    why: Vec<String>,
    unproved: bool,
    asked: bool,
}

impl Standing {
    pub(crate) fn proof(self, statement: &Statement) -> Proof {
        let confirmed = self.counterexamples.iter().filter(|c| c.confirmed);
        let broken = confirmed.clone().any(|c| c.exception.is_none());
        let status = match (broken, self.unproved || !self.asked) {
            (true, _) => Status::Broken,
            (false, true) => Status::NotProved,
            (false, false) if self.counterexamples.is_empty() => Status::Proved,
            (false, false) => Status::Excepted,
        };
        Proof {
            invariant: statement.name.clone(),
            builtin: statement.builtin,
            description: statement.description.clone(),
            cedar: statement.cedar.clone(),
            status,
            counterexamples: self.counterexamples,
            why: self.why,
        }
    }

    fn unproved(&mut self, why: String) {
        self.unproved = true;
        if self.why.len() < MAX_WHYS && !self.why.contains(&why) {
            self.why.push(why);
        }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn all(&self, statements: &[Statement]) -> Vec<Proof> {
        let mut standing: Vec<Standing> = statements.iter().map(|_| Standing::default()).collect();
        let cases = self.cases(statements);
        let mut settle = |case: &Case<'_>, why: Option<String>| {
            if let Some(found) = standing.get_mut(case.index) {
                found.asked = true;
                why.into_iter().for_each(|why| found.unproved(why));
            }
        };
        // An invariant that can fail to evaluate would be broken without anybody seeing it.
        let sound = self.bench.each(&cases, |asker, case| self.sound(asker, case));
        let open: Vec<bool> = sound
            .into_iter()
            .zip(&cases)
            .map(|(found, case)| match found.unwrap_or_else(|| Err(broke_off())) {
                Ok(()) => true,
                Err(why) => {
                    settle(case, Some(why));
                    false
                }
            })
            .collect();
        let open: Vec<&Case<'_>> =
            cases.iter().zip(open).filter_map(|(case, open)| open.then_some(case)).collect();
        let everything = self
            .bench
            .each(&open, |asker, case| self.stops(asker, case, EVERYTHING, &BTreeSet::new()));
        let mut rest = Vec::new();
        for (case, stopped) in open.into_iter().zip(everything) {
            settle(case, None);
            // No answer here is no harm: the permits may still be harmless one by one.
            if stopped != Some(Ok(true)) {
                rest.push(case);
            }
        }
        let shared = self.by_environment(&rest);
        let widened = self.bench.each(&shared, |asker, shared| {
            self.stops(asker, shared.case, &shared.text, &BTreeSet::new())
        });
        let left = shared.into_iter().zip(widened);
        let left: Vec<Shared<'_>> = left
            .filter(|(_, stopped)| *stopped != Some(Ok(true)))
            .map(|(shared, _)| shared)
            .collect();
        let exact = self.put_together(&rest, self.one_by_one(&rest, &left));
        let found: Vec<AtomicUsize> = statements.iter().map(|_| AtomicUsize::new(0)).collect();
        let answers = self.bench.each(&exact, |asker, shared| {
            let enough = found.get(shared.case.index);
            if enough.is_some_and(|found| found.load(Ordering::Relaxed) >= MAX_COUNTEREXAMPLES) {
                let why = format!("there are {MAX_COUNTEREXAMPLES} counterexamples; other policies were not asked about");
                return Answer::Unproved(why, None);
            }
            let answer = self.exact(asker, shared);
            if matches!(answer, Answer::Proved) {
                self.memory.learn(self.key_of(shared));
            }
            if let (Answer::Broken(_), Some(found)) = (&answer, enough) {
                found.fetch_add(1, Ordering::Relaxed);
            }
            answer
        });
        for (shared, answer) in exact.iter().zip(answers) {
            let Some(found) = standing.get_mut(shared.case.index) else { continue };
            let answer = answer.unwrap_or_else(|| Answer::Unproved(broke_off(), None));
            self.note(found, shared, answer);
        }
        statements.iter().zip(standing).map(|(statement, found)| found.proof(statement)).collect()
    }

    fn note(&self, standing: &mut Standing, shared: &Shared<'_>, answer: Answer) {
        let statement = shared.case.statement;
        let sort = |excepted: bool| {
            let of = shared.items.iter().filter(move |item| {
                item.exception(&statement.exceptions, self.ground.now).is_some() == excepted
            });
            of.copied().collect::<Vec<&Item>>()
        };
        match answer {
            Answer::Proved | Answer::ProvedOfOne => {}
            Answer::Broken(counterexample) => {
                for items in [sort(false), sort(true)] {
                    let Some(first) = items.first() else { continue };
                    let exception = first.exception(&statement.exceptions, self.ground.now);
                    standing.counterexamples.push(Counterexample {
                        policies: items.iter().map(|item| item.id.clone()).collect(),
                        meanings: items.iter().map(|item| item.text.clone()).collect(),
                        exception: exception.map(|e| format!("{} until {}", e.owner, e.expires)),
                        ..(*counterexample).clone()
                    });
                }
            }
            Answer::Unproved(why, nearest) => {
                // What is excepted need not be proved.
                let rest = sort(false);
                let Some(first) = rest.first() else { return };
                standing.unproved(format!("{}: {why}", first.id));
                standing.counterexamples.extend(nearest.map(|c| Counterexample {
                    policies: rest.iter().map(|item| item.id.clone()).collect(),
                    ..*c
                }));
            }
        }
    }

    /// Each invariant by kinds of action; those that make no difference are one case.
    fn cases<'s>(&'s self, statements: &'s [Statement]) -> Vec<Case<'s>> {
        let mut cases: Vec<Case<'s>> = Vec::new();
        for (index, statement) in statements.iter().enumerate() {
            let forbids = self.first_forbids(&statement.named);
            let from = cases.len();
            for kind in statement.kinds.iter().copied() {
                let here: Vec<&Item> =
                    forbids.iter().copied().filter(|item| item.kinds.contains(&kind)).collect();
                let alone = statement.specific || here.iter().any(|item| item.specific);
                let ids = |items: &[&Item]| items.iter().map(|i| i.id.clone()).collect::<Vec<_>>();
                let same = cases.iter_mut().skip(from).find(|case| {
                    !alone
                        && !case.forbids.iter().any(|item| item.specific)
                        && ids(&case.forbids) == ids(&here)
                });
                match same {
                    Some(case) => drop(case.kinds.insert(kind)),
                    None => cases.push(Case {
                        statement,
                        index,
                        kind,
                        kinds: BTreeSet::from([kind]),
                        forbids: here,
                    }),
                }
            }
        }
        cases
    }

    /// Forbids a question begins with: built in, raw, and of roles that groups the invariant
    /// names are given. Leaving one out is sound; it is put in when it turns out to matter.
    pub(crate) fn first_forbids(&self, named: &BTreeSet<EntityUid>) -> Vec<&'a Item> {
        let forbids = self.items.iter().filter(|item| item.effect == Effect::Forbid);
        let groups = named.iter().filter(|uid| uid.type_name().basename() == "Group");
        let groups: Vec<GroupName> =
            groups.filter_map(|uid| GroupName::new(uid.id().as_ref()).ok()).collect();
        let given: BTreeSet<_> = groups
            .iter()
            .flat_map(|group| world::roles_of_group(self.ground.facts, group))
            .collect();
        let (mut always, mut more) = (Vec::new(), Vec::new());
        for item in forbids {
            match &item.source {
                PolicySource::BuiltIn => always.push(item),
                PolicySource::Policy(_) => more.push(item),
                PolicySource::Role(role) if given.contains(role) => more.push(item),
                PolicySource::Role(_) => {}
            }
        }
        always.extend(more.into_iter().take(MAX_FORBIDS));
        always
    }

    fn by_environment<'s>(&'s self, cases: &[&'s Case<'s>]) -> Vec<Shared<'s>> {
        let mut all = Vec::new();
        for case in cases {
            let mut shared: BTreeMap<String, Vec<&'s Item>> = BTreeMap::new();
            for item in self.permits(case) {
                if let Some(text) = item.widened(self.ground.facts) {
                    shared.entry(text).or_default().push(item);
                }
            }
            all.extend(shared.into_iter().map(|(text, items)| Shared { case, text, items }));
        }
        all
    }

    /// What is left after the wider questions, and what these could not be asked about.
    fn one_by_one<'s>(&'s self, cases: &[&'s Case<'s>], left: &[Shared<'s>]) -> Vec<Shared<'s>> {
        let mut all = Vec::new();
        for case in cases {
            let of_case = left.iter().filter(|shared| std::ptr::eq(shared.case, *case));
            let open: BTreeSet<&str> =
                of_case.flat_map(|shared| shared.items.iter().map(|i| i.id.as_str())).collect();
            let named = self.named(case.statement, &case.forbids);
            let mut shared: BTreeMap<String, Vec<&'s Item>> = BTreeMap::new();
            for item in self.permits(case) {
                let proved =
                    item.widened(self.ground.facts).is_some() && !open.contains(item.id.as_str());
                if !proved {
                    let text = item.for_anyone(&named);
                    shared.entry(text).or_default().push(item);
                }
            }
            all.extend(shared.into_iter().map(|(text, items)| Shared { case, text, items }));
        }
        all
    }

    fn permits<'s>(&'s self, case: &'s Case<'s>) -> impl Iterator<Item = &'s Item> {
        let permits = self.items.iter().filter(|item| item.effect == Effect::Permit);
        permits.filter(|item| !item.kinds.is_disjoint(&case.kinds))
    }

    pub(crate) fn named(&self, statement: &Statement, forbids: &[&Item]) -> BTreeSet<EntityUid> {
        let of_forbids = forbids.iter().flat_map(|item| item.named.iter());
        statement.named.iter().chain(of_forbids).cloned().collect()
    }

    fn sound(&self, asker: &mut Asker<'_>, case: &Case<'_>) -> Result<(), String> {
        let violation = case.statement.violation("")?;
        if !may_fail(&violation) {
            return Ok(());
        }
        let key = self.memory.key("never fails", case.kind, &[&case.statement.cedar]);
        if self.memory.knows(&key) {
            return Ok(());
        }
        if asker.can_fail(case.kind, &violation)? {
            return Err(
                "the condition can fail to evaluate (arithmetic can overflow); guard it".to_owned()
            );
        }
        self.memory.learn(key);
        Ok(())
    }

    /// Whether no request that `permit` lets through breaks the case's invariant. For steps that
    /// are followed by another: what was no proof once is not asked again.
    pub(crate) fn stops(
        &self,
        asker: &mut Asker<'_>,
        case: &Case<'_>,
        permit: &str,
        more: &BTreeSet<EntityUid>,
    ) -> Result<bool, String> {
        let (key, _) = self.question(case, case.kind, permit, more, &case.forbids);
        if self.memory.is_open(&key) {
            return Ok(false);
        }
        let found = self.ask(asker, case, case.kind, permit, more, &case.forbids)?;
        if found.is_some() {
            self.memory.leave_open(key);
        }
        Ok(found.is_none())
    }

    /// The digest of a question, and what it takes for granted.
    fn question(
        &self,
        case: &Case<'_>,
        kind: ActionKind,
        permit: &str,
        named: &BTreeSet<EntityUid>,
        forbids: &[&Item],
    ) -> ([u8; 32], String) {
        let mut all = self.named(case.statement, forbids);
        all.extend(named.iter().cloned());
        let world = world::conditions(self.ground.facts, &all, !case.statement.asks_for_roles);
        let mut parts = vec![case.statement.cedar.as_str(), &world, permit];
        parts.extend(forbids.iter().map(|item| item.text.as_str()));
        (self.memory.key("is stopped", kind, &parts), world)
    }

    fn ask(
        &self,
        asker: &mut Asker<'_>,
        case: &Case<'_>,
        kind: ActionKind,
        permit: &str,
        named: &BTreeSet<EntityUid>,
        forbids: &[&Item],
    ) -> Result<Option<Box<Env>>, String> {
        let (key, world) = self.question(case, kind, permit, named, forbids);
        if self.memory.knows(&key) {
            return Ok(None);
        }
        let violation = case.statement.violation(&world)?;
        let permit = Policy::parse(Some(PolicyId::new("asked about")), permit)
            .map_err(|error| error.to_string())?;
        let policies: Vec<&Policy> =
            std::iter::once(&permit).chain(forbids.iter().map(|item| &item.policy)).collect();
        let found = asker.common(kind, &policies, &violation)?;
        if found.is_none() {
            self.memory.learn(key);
        }
        Ok(found)
    }

    /// Permits as they are. One stands for all, and one kind of action for all of its kinds, until
    /// a forbid has to be put in.
    fn exact(&self, asker: &mut Asker<'_>, shared: &Shared<'_>) -> Answer {
        let Some(first) = shared.items.first() else { return Answer::Proved };
        let kinds = |item: &Item| -> Vec<ActionKind> {
            item.kinds.intersection(&shared.case.kinds).copied().collect()
        };
        if let (false, Some(kind)) = (first.specific, kinds(first).first()) {
            match self.refine(asker, shared, first, *kind) {
                Answer::ProvedOfOne => {}
                answer => return answer,
            }
        }
        for item in &shared.items {
            let alone = Shared { case: shared.case, text: item.text.clone(), items: vec![item] };
            for kind in kinds(item) {
                match self.refine(asker, &alone, item, kind) {
                    Answer::Proved | Answer::ProvedOfOne => {}
                    answer => return answer,
                }
            }
        }
        Answer::Proved
    }

    fn refine(
        &self,
        asker: &mut Asker<'_>,
        shared: &Shared<'_>,
        item: &Item,
        kind: ActionKind,
    ) -> Answer {
        let (case, mut forbids) = (shared.case, shared.case.forbids.clone());
        let mut text = shared.text.clone();
        for _ in 0..MAX_REFINEMENTS {
            let env = match self.ask(asker, case, kind, &text, &item.named, &forbids) {
                Ok(None) if forbids.len() == case.forbids.len() => return Answer::Proved,
                Ok(None) => return Answer::ProvedOfOne,
                Ok(Some(env)) => env,
                Err(why) => return Answer::Unproved(why, None),
            };
            let ids = match confirm(self.ground, case.statement, item, kind, &env) {
                Ok(Tried::Confirmed(found)) => return Answer::Broken(found),
                Ok(Tried::Forbidden(ids)) => ids,
                Ok(Tried::Unconfirmed(nearest, said)) => {
                    let why =
                        format!("a counterexample was found that decide does not confirm: {said}");
                    return Answer::Unproved(why, Some(nearest));
                }
                Err(why) => return Answer::Unproved(why, None),
            };
            let before = forbids.len();
            let known = |id: &String, forbids: &[&Item]| forbids.iter().any(|item| item.id == *id);
            for id in ids {
                if !known(&id, &forbids)
                    && let Some(found) = self.items.iter().find(|item| item.id == id)
                {
                    forbids.push(found);
                }
            }
            if forbids.len() == before {
                let why = "a model turned up that the forbids in the question should have excluded";
                return Answer::Unproved(why.to_owned(), None);
            }
            // Who holds the permit's role may matter now.
            text = item.text.clone();
        }
        Answer::Unproved("its forbids are too many to tell".to_owned(), None)
    }
}

fn broke_off() -> String {
    "the question was broken off".to_owned()
}
