//! Which questions are asked, and what their answers prove.
//!
//! An invariant holds if no permit lets a request through that it describes and that no forbid
//! stops. Every step below asks about more than that request, so that a "no" is a proof:
//!
//! 1. As if everything were permitted: do the forbids stop it? Where they do, the permits do not
//!    matter, however many there are.
//! 2. As if a permit let everything through in the environments it names. Permits that name
//!    environments of the same kind share the question.
//! 3. The permit itself, without the role that gives it where that cannot matter. Permits that
//!    differ in nothing else share the question.
//!
//! Only the third can find a counterexample. A forbid of a role counts once a model turns up that
//! `decide` refuses because of it; then the question is asked again with it.
//!
//! What was proved is remembered by the whole text of the question, in memory only: a proof that
//! could be written into a file could be forged there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use cedar_policy::{EntityUid, Policy, PolicyId};
use portcullis_domain::{ActionKind, Facts, GroupName, Timestamp};
use portcullis_policy::{Effect, Policies, PolicySource, SCHEMA};

use crate::counterexample::{Ground, Tried, confirm};
use crate::finding::findings;
use crate::item::{Item, items};
use crate::question::{Asker, Symbols};
use crate::report::{Counterexample, Proof, Report, Status};
use crate::solver::{SolverError, SolverSettings, version};
use crate::statement::{Statement, statements};
use crate::work::Bench;
use crate::world;

/// Most questions whose answer is remembered.
const MAX_REMEMBERED: usize = 65_536;
/// Most forbids of raw policies that a question begins with.
const MAX_FORBIDS: usize = 32;
/// How often a question is asked again with another forbid.
const MAX_REFINEMENTS: usize = 16;
/// Counterexamples looked for per invariant; more would not be read.
const MAX_COUNTEREXAMPLES: usize = 8;
/// Reasons kept for not having a proof.
const MAX_WHYS: usize = 4;

const EVERYTHING: &str = "permit (principal, action, resource);";

/// Proves invariants. Keeps what it has proved; shared between threads.
#[derive(Debug)]
pub struct Prover {
    settings: SolverSettings,
    symbols: Result<Symbols, String>,
    known: Mutex<HashSet<[u8; 32]>>,
}

impl Prover {
    /// With a solver that is started when it is needed.
    pub fn new(settings: SolverSettings) -> Self {
        Self { settings, symbols: Symbols::new(), known: Mutex::default() }
    }

    /// The solver's settings.
    pub fn settings(&self) -> &SolverSettings {
        &self.settings
    }

    /// Proves every invariant of these facts, whose policies these are. Takes from milliseconds
    /// to the settings' time in total. `now` is for exceptions, and for the requests of
    /// counterexamples.
    pub fn prove(&self, facts: &Facts, policies: &Policies, now: Timestamp) -> Report {
        self.run(facts, policies, now, false)
    }

    /// [`Prover::prove`], and what is odd about single policies.
    pub fn inspect(&self, facts: &Facts, policies: &Policies, now: Timestamp) -> Report {
        self.run(facts, policies, now, true)
    }

    fn run(&self, facts: &Facts, policies: &Policies, now: Timestamp, inspect: bool) -> Report {
        let began = Instant::now();
        let statements = match statements(facts) {
            Ok(statements) => statements,
            Err(problems) => return unread(&problems),
        };
        let solver = version(&self.settings.program);
        let ready = self.ready(facts, policies, &solver);
        let mut report = match ready {
            Err(why) => Report {
                invariants: statements.iter().map(|s| not_asked(s, &why)).collect(),
                ..Report::default()
            },
            Ok((symbols, solver, items)) => {
                let asked = AtomicUsize::new(0);
                let bench = Bench {
                    symbols,
                    settings: &self.settings,
                    until: began + self.settings.in_total,
                    asked: &asked,
                };
                let memory = Memory { known: &self.known, solver, hits: AtomicUsize::new(0) };
                let ground = Ground { facts, policies, now };
                let run = Run { bench, memory, ground, items: &items };
                let invariants = run.all(&statements);
                let findings = if inspect { findings(&run, &statements) } else { Vec::new() };
                Report {
                    solver: Some(solver.to_owned()),
                    invariants,
                    findings,
                    asked: asked.load(Ordering::Relaxed),
                    remembered: run.memory.hits.load(Ordering::Relaxed),
                    milliseconds: 0,
                }
            }
        };
        report.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        report
    }

    fn ready<'a>(
        &'a self,
        facts: &Facts,
        policies: &Policies,
        solver: &'a Result<String, SolverError>,
    ) -> Result<(&'a Symbols, &'a str, Vec<Item>), String> {
        let symbols = self.symbols.as_ref().map_err(Clone::clone)?;
        let solver = solver.as_ref().map_err(ToString::to_string)?;
        if policies.revision() != facts.revision {
            return Err("the policies are of another revision than the facts".to_owned());
        }
        Ok((symbols, solver, items(facts, policies)?))
    }
}

/// Whether going from one to the other changes nothing that a proof is about.
pub fn same_question(before: &Facts, after: &Facts) -> bool {
    let mut named = BTreeSet::new();
    for facts in [before, after] {
        let rules = facts.roles.values().flat_map(|role| role.allow.iter().chain(&role.deny));
        named.extend(rules.flat_map(|rule| rule.targets.iter()).map(|t| t.as_str().to_owned()));
        for never in facts.invariants.values().filter_map(|invariant| invariant.never.as_ref()) {
            named.extend(never.targets.iter().map(|name| name.as_str().to_owned()));
            named.extend(never.users.iter().map(|name| name.as_str().to_owned()));
        }
    }
    // A raw text may name anything: then everything it could name has to be the same.
    let raw = !before.policies.is_empty()
        || before
            .invariants
            .values()
            .filter_map(|i| i.never.as_ref())
            .any(|never| never.when.is_some() || never.unless.is_some());
    let same_targets = before.targets.len() == after.targets.len()
        && before.targets.iter().all(|(name, old)| {
            after
                .targets
                .get(name)
                .is_some_and(|new| old.environment == new.environment && old.labels == new.labels)
        });
    let named_targets_same = named.iter().all(|name| {
        let find = |facts: &Facts| {
            let found = facts.targets.iter().find(|(known, _)| known.as_str() == name);
            found.map(|(_, target)| (target.environment.clone(), target.labels.clone()))
        };
        find(before) == find(after)
    });
    let named_users_same = named.iter().all(|name| {
        let find = |facts: &Facts| {
            let found = facts.users.iter().find(|(known, _)| known.as_str() == name);
            found.map(|(_, user)| user.groups.clone())
        };
        find(before) == find(after)
    });
    before.roles == after.roles
        && before.policies == after.policies
        && before.invariants == after.invariants
        && before.environments == after.environments
        && before.assignments == after.assignments
        && named_targets_same
        && named_users_same
        && (!raw || (same_targets && before.users == after.users))
}

fn unread(problems: &[crate::statement::InvariantProblem]) -> Report {
    let proof = |problem: &crate::statement::InvariantProblem| Proof {
        invariant: problem.invariant.clone(),
        builtin: false,
        description: None,
        cedar: String::new(),
        status: Status::NotProved,
        counterexamples: Vec::new(),
        why: vec![problem.message.clone()],
    };
    Report { invariants: problems.iter().map(proof).collect(), ..Report::default() }
}

fn not_asked(statement: &Statement, why: &str) -> Proof {
    Proof { why: vec![why.to_owned()], ..Standing::default().proof(statement) }
}

/// What is known from before.
pub(crate) struct Memory<'a> {
    known: &'a Mutex<HashSet<[u8; 32]>>,
    solver: &'a str,
    hits: AtomicUsize,
}

impl Memory<'_> {
    /// Of the whole question: solver, schema, kind of action, policies, condition.
    pub(crate) fn key(&self, what: &str, kind: ActionKind, parts: &[&str]) -> [u8; 32] {
        let mut text = String::new();
        for part in [self.solver, SCHEMA, what, kind.as_str()].iter().chain(parts) {
            text.push_str(&format!("{}:{part}", part.len()));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        key
    }

    pub(crate) fn knows(&self, key: &[u8; 32]) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(key);
        if known {
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        known
    }

    pub(crate) fn learn(&self, key: [u8; 32]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(key);
    }
}

/// One call.
pub(crate) struct Run<'a> {
    pub(crate) bench: Bench<'a>,
    pub(crate) memory: Memory<'a>,
    pub(crate) ground: Ground<'a>,
    pub(crate) items: &'a [Item],
}

/// An invariant for kinds of action that make no difference to it.
struct Case<'a> {
    statement: &'a Statement,
    index: usize,
    kind: ActionKind,
    kinds: BTreeSet<ActionKind>,
    forbids: Vec<&'a Item>,
}

/// Permits that share a question.
struct Shared<'a> {
    case: &'a Case<'a>,
    text: String,
    items: Vec<&'a Item>,
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
struct Standing {
    counterexamples: Vec<Counterexample>,
    why: Vec<String>,
    unproved: bool,
    asked: bool,
}

impl Standing {
    fn proof(self, statement: &Statement) -> Proof {
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
    fn all(&self, statements: &[Statement]) -> Vec<Proof> {
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
        let exact = self.one_by_one(&rest, &left);
        let found: Vec<AtomicUsize> = statements.iter().map(|_| AtomicUsize::new(0)).collect();
        let answers = self.bench.each(&exact, |asker, shared| {
            let enough = found.get(shared.case.index);
            if enough.is_some_and(|found| found.load(Ordering::Relaxed) >= MAX_COUNTEREXAMPLES) {
                let why = format!("there are {MAX_COUNTEREXAMPLES} counterexamples; other policies were not asked about");
                return Answer::Unproved(why, None);
            }
            let answer = self.exact(asker, shared);
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
            let forbids = self.first_forbids(statement);
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
    fn first_forbids(&self, statement: &Statement) -> Vec<&'a Item> {
        let forbids = self.items.iter().filter(|item| item.effect == Effect::Forbid);
        let groups = statement.named.iter().filter(|uid| uid.type_name().basename() == "Group");
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

    fn named(&self, statement: &Statement, forbids: &[&Item]) -> BTreeSet<EntityUid> {
        let of_forbids = forbids.iter().flat_map(|item| item.named.iter());
        statement.named.iter().chain(of_forbids).cloned().collect()
    }

    fn sound(&self, asker: &mut Asker<'_>, case: &Case<'_>) -> Result<(), String> {
        let violation = case.statement.violation("")?;
        if !crate::item::may_fail(&violation) {
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

    /// Whether no request that `permit` lets through breaks the case's invariant.
    fn stops(
        &self,
        asker: &mut Asker<'_>,
        case: &Case<'_>,
        permit: &str,
        more: &BTreeSet<EntityUid>,
    ) -> Result<bool, String> {
        let found = self.ask(asker, case, case.kind, permit, more, &case.forbids)?;
        Ok(found.is_none())
    }

    fn ask(
        &self,
        asker: &mut Asker<'_>,
        case: &Case<'_>,
        kind: ActionKind,
        permit: &str,
        named: &BTreeSet<EntityUid>,
        forbids: &[&Item],
    ) -> Result<Option<Box<cedar_policy_symcc::Env>>, String> {
        let mut all = self.named(case.statement, forbids);
        all.extend(named.iter().cloned());
        let world = world::conditions(self.ground.facts, &all);
        let mut parts = vec![case.statement.cedar.as_str(), &world, permit];
        parts.extend(forbids.iter().map(|item| item.text.as_str()));
        let key = self.memory.key("is stopped", kind, &parts);
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
