"""What is decided and proved: how long a decision takes, a proof, and the table of who gains what.

In: the examples of the crates, built for release. Out: rows for the table.
"""

from evidence import example
from figures import Row

_ROUNDS = 3


def decide(_quick):
    """The policy engine alone: at 1,000 roles, and at 10,000 policies with 100,000 assignments."""
    told = example("portcullis-policy", "decide_latency")
    cases = {found["case"]: found for found in told if found["roles"] == 1000}
    large = {found["case"]: found for found in example("portcullis-policy", "decide_scale")}
    legs = {case: [found["p99_us"]] for case, found in large.items()}
    return [
        Row("decide at 1,000 roles, p50", "us", 20.0, cases["warm"]["p50_us"],
            notes={"cases": told},
            legs={case: [found["p50_us"]] for case, found in cases.items()}),
        Row("decide at 10,000 policies, p99", "us", 50.0, large["mixed"]["p99_us"], legs=legs,
            notes={"cases": list(large.values())}),
    ]


def proof(quick):
    """Invariants proved of so many roles: built in, with a custom one, and after a change."""
    rows = []
    for roles, asked in ((100, 2000), (1000, 10_000)):
        rounds = [example("portcullis-proof", "proof_speed", str(roles))
                  for _ in range(1 if quick else _ROUNDS)]
        for invariants in ("built in", "and a custom one"):
            for case, limit in (("first", asked), ("one role changed", 1000)):
                found = [one for told in rounds for one in told
                         if one["invariants"] == invariants and one["case"] == case]
                if not all(one["holds"] for one in found):
                    raise RuntimeError(f"an invariant did not hold at {roles} roles")
                took = sorted(one["ms"] for one in found)
                what = "built-in" if invariants == "built in" else "custom"
                rows.append(Row(
                    f"proof, {roles:,} roles, {what}, {case}", "ms", limit, took[len(took) // 2],
                    legs={"all": took, "solvers": [one["solver_ms"] for one in found]},
                    notes={"asked": found[0]["asked"]}))
    return rows


def reach(quick):
    """The table of who gains and who loses, of 1,000 people and 1,000 targets."""
    told = [example("portcullis-control", "reach_table")[0] for _ in range(1 if quick else _ROUNDS)]
    took = sorted(found["ms"] for found in told)
    return [Row("reach of 1,000 x 1,000", "ms", 2000, took[len(took) // 2], legs={"table": took},
                notes={"rows": told[0]["rows"]})]


ALONE = {"decide": decide, "proof": proof, "reach": reach}
