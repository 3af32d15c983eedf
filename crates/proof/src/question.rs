//! One question to the solver: does some request pass these policies and match that condition?
//!
//! Policies flow in; `None` (there is no such request) or a model as Cedar's own request and
//! entities flows out. The symbolic compiler is asynchronous by its interface only: everything it
//! awaits here is memory, or a process that is asked synchronously.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cedar_policy::{EntityUid, Policy, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::err::Error as SymbolicError;
use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver, SolverError as Foreign};
use cedar_policy_symcc::{
    CedarSymCompiler, CompiledPolicy, CompiledPolicySet, CompiledSchema, Env, SymEnv,
    disjoint_asserts, never_errors_asserts,
};
use portcullis_domain::ActionKind;
use portcullis_policy::SCHEMA;

use crate::solver::{Answer, Process, SolverError, SolverSettings};

/// The schema, ready for questions about each kind of action.
#[derive(Debug)]
pub(crate) struct Symbols {
    schema: Schema,
    kinds: Vec<(RequestEnv, SymEnv)>,
}

impl Symbols {
    pub(crate) fn new() -> Result<Self, String> {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| e.to_string())?;
        let compiled = CompiledSchema::new(&schema).map_err(|e| e.to_string())?;
        let kinds = ActionKind::ALL.into_iter().map(|kind| {
            let action: EntityUid = format!("Action::\"{kind}\"")
                .parse()
                .map_err(|e: cedar_policy::ParseErrors| e.to_string())?;
            let name =
                |text: &str| text.parse().map_err(|e: cedar_policy::ParseErrors| e.to_string());
            let env = RequestEnv::new(name("User")?, action, name("Target")?);
            let symbols = compiled.sym_env(&env).map_err(|e| e.to_string())?;
            Ok((env, symbols))
        });
        Ok(Self { kinds: kinds.collect::<Result<_, String>>()?, schema })
    }

    fn of(&self, kind: ActionKind) -> Result<&(RequestEnv, SymEnv), String> {
        self.kinds.get(kind as usize).ok_or_else(|| format!("`{kind}` is not in the schema"))
    }
}

/// Asks questions of one solver process, which is started when it is needed and replaced when it
/// has failed.
pub(crate) struct Asker<'a> {
    symbols: &'a Symbols,
    settings: &'a SolverSettings,
    until: Instant,
    compiler: Option<CedarSymCompiler<Script>>,
    /// Questions that went to the solver.
    pub(crate) asked: usize,
    /// How long it was waited for.
    pub(crate) waited: Duration,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(symbols: &'a Symbols, settings: &'a SolverSettings, until: Instant) -> Self {
        Self { symbols, settings, until, compiler: None, asked: 0, waited: Duration::ZERO }
    }

    /// A request of this kind that `policies` allow and `condition` (a permit) matches, if there
    /// is one in any world the schema can describe.
    pub(crate) fn common(
        &mut self,
        kind: ActionKind,
        policies: &[&Policy],
        condition: &Policy,
    ) -> Result<Option<Box<Env>>, String> {
        let (env, symbols) = self.symbols.of(kind)?;
        let compile = |policies: &[&Policy]| {
            let set = PolicySet::from_policies(policies.iter().map(|p| (*p).clone()))
                .map_err(|error| error.to_string())?;
            CompiledPolicySet::compile_with_custom_symenv(
                &set,
                env,
                &self.symbols.schema,
                symbols.clone(),
            )
            .map_err(|error| said(&error))
        };
        let (policies, condition) = (compile(policies)?, compile(&[condition])?);
        let asserts = disjoint_asserts(&policies, &condition);
        self.ask(async |compiler| compiler.check_sat(&asserts).await.map(|env| env.map(Box::new)))
    }

    /// Whether a policy can fail to evaluate on a request of this kind.
    pub(crate) fn can_fail(&mut self, kind: ActionKind, policy: &Policy) -> Result<bool, String> {
        let (env, symbols) = self.symbols.of(kind)?;
        let compiled = CompiledPolicy::compile_with_custom_symenv(
            policy,
            env,
            &self.symbols.schema,
            symbols.clone(),
        )
        .map_err(|error| said(&error))?;
        let asserts = never_errors_asserts(&compiled);
        self.ask(async |compiler| compiler.check_unsat(&asserts).await.map(|unsat| !unsat))
    }

    fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut CedarSymCompiler<Script>) -> Result<T, SymbolicError>,
    ) -> Result<T, String> {
        let mut compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => {
                let process = Process::start(self.settings, self.until);
                let process = process.map_err(|error| error.to_string())?;
                let script =
                    Script { process, text: Vec::new(), failure: None, waited: Duration::ZERO };
                CedarSymCompiler::new(script).map_err(|error| error.to_string())?
            }
        };
        self.asked += 1;
        let answer = finish(question(&mut compiler));
        self.waited += std::mem::take(&mut compiler.solver_mut().waited);
        match answer {
            Ok(answer) => {
                self.compiler = Some(compiler);
                Ok(answer)
            }
            // The process may still be at the old question: the next one gets a new process.
            Err(error) => Err(compiler.solver_mut().failure.take().map_or_else(
                || error.map_or_else(|| "the question was not finished".to_owned(), |e| said(&e)),
                |failure| failure.to_string(),
            )),
        }
    }
}

fn said(error: &SymbolicError) -> String {
    let mut text = error.to_string();
    if let SymbolicError::PolicyNotWellTyped { errs } = error
        && let Some(first) = errs.first()
    {
        text = first.to_string();
    }
    text
}

/// Runs a future that waits for nothing.
fn finish<T>(
    future: impl Future<Output = Result<T, SymbolicError>>,
) -> Result<T, Option<Box<SymbolicError>>> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.map_err(|error| Some(Box::new(error))),
        Poll::Pending => Err(None),
    }
}

/// The script of one question, and the process it goes to.
struct Script {
    process: Process,
    text: Vec<u8>,
    /// Why the process had no answer.
    failure: Option<SolverError>,
    /// How long it was waited for.
    waited: Duration,
}

impl Script {
    fn put(&mut self, model: bool) -> Result<Answer, Foreign> {
        let text = std::mem::take(&mut self.text);
        let began = Instant::now();
        let answer = self.process.ask(&text, model);
        self.waited += began.elapsed();
        answer.map_err(|error| {
            let foreign = Foreign::Solver(error.to_string());
            self.failure = Some(error);
            foreign
        })
    }
}

impl Solver for Script {
    fn smtlib_input(&mut self) -> &mut (dyn tokio::io::AsyncWrite + Unpin + Send) {
        &mut self.text
    }

    async fn enable_models(&mut self) -> Result<(), Foreign> {
        self.text.extend_from_slice(b"(set-option :produce-models true)\n");
        Ok(())
    }

    async fn check_sat(&mut self) -> Result<Decision, Foreign> {
        Ok(match self.put(false)? {
            Answer::Satisfiable(_) => Decision::Sat,
            Answer::Unsatisfiable => Decision::Unsat,
        })
    }

    async fn check_sat_with_model(&mut self) -> Result<DecisionWithModel, Foreign> {
        Ok(match self.put(true)? {
            Answer::Satisfiable(model) => DecisionWithModel::Sat { model },
            Answer::Unsatisfiable => DecisionWithModel::Unsat,
        })
    }
}
