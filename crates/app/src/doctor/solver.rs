//! The solver: without it nothing that touches production policy is applied.

use portcullis_proof::{INSTALL, SolverSettings, version};

use super::finding::Finding;

pub(super) fn check(settings: &SolverSettings) -> Finding {
    match version(&settings.program) {
        Ok(version) => Finding::good("solver", version),
        Err(error) => Finding::problem(
            "solver",
            error.to_string(),
            format!(
                "`{INSTALL}`, or set `proofs.solver` to its path; until then no change to production policy is applied"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn a_missing_solver_is_a_problem_with_its_remedy() {
        let settings = SolverSettings { program: "/nowhere".into(), ..SolverSettings::default() };
        let finding = check(&settings);
        assert_eq!(finding.state, State::Problem);
        assert!(finding.remedy.is_some_and(|remedy| remedy.contains("apt install cvc5")));
    }
}
