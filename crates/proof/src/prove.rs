//! [`Prover`]: facts in, report out. Holds what was proved and where the solver is; which questions
//! are asked is `run.rs`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use portcullis_domain::{Facts, Timestamp};
use portcullis_policy::Policies;

use crate::counterexample::Ground;
use crate::finding::{Finding, findings};
use crate::item::{Item, items};
use crate::memory::{Known, Memory};
use crate::question::Symbols;
use crate::report::{Proof, Report, Status};
use crate::run::{Run, Standing};
use crate::solver::{SolverError, SolverSettings, version};
use crate::statement::{InvariantProblem, Statement, statements};
use crate::work::Bench;

/// Proves invariants. Keeps what it has proved; shared between threads.
#[derive(Debug)]
pub struct Prover {
    settings: SolverSettings,
    symbols: Result<Symbols, String>,
    known: Known,
}

impl Prover {
    /// With a solver that is started when it is needed.
    pub fn new(settings: SolverSettings) -> Self {
        Self { settings, symbols: Symbols::new(), known: Known::default() }
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

    /// What is odd about the policies and invariants of these resources (`Kind/name`). Without a
    /// solver, what can be told without one.
    pub fn oddities(
        &self,
        facts: &Facts,
        policies: &Policies,
        now: Timestamp,
        resources: &BTreeSet<String>,
    ) -> Vec<Finding> {
        let Ok(symbols) = self.symbols.as_ref() else { return Vec::new() };
        let Ok(items) = items(facts, policies, &self.known) else { return Vec::new() };
        let solver = version(&self.settings.program).unwrap_or_default();
        let (asked, waited) = (AtomicUsize::new(0), AtomicU64::new(0));
        let until = Instant::now() + self.settings.per_query;
        let bench =
            Bench { symbols, settings: &self.settings, until, asked: &asked, waited: &waited };
        let memory = Memory::new(&self.known, &solver);
        let run = Run { bench, memory, ground: Ground { facts, policies, now }, items: &items };
        findings(&run, Some(resources))
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
                let (asked, waited) = (AtomicUsize::new(0), AtomicU64::new(0));
                let bench = Bench {
                    symbols,
                    settings: &self.settings,
                    until: began + self.settings.in_total,
                    asked: &asked,
                    waited: &waited,
                };
                let memory = Memory::new(&self.known, solver);
                let ground = Ground { facts, policies, now };
                let run = Run { bench, memory, ground, items: &items };
                let invariants = run.all(&statements);
                let findings = if inspect { findings(&run, None) } else { Vec::new() };
                Report {
                    solver: Some(solver.to_owned()),
                    invariants,
                    findings,
                    asked: asked.load(Ordering::Relaxed),
                    remembered: run.memory.hits(),
                    solver_milliseconds: waited.load(Ordering::Relaxed) / 1000,
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
        Ok((symbols, solver, items(facts, policies, &self.known)?))
    }
}

fn unread(problems: &[InvariantProblem]) -> Report {
    let proof = |problem: &InvariantProblem| Proof {
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
