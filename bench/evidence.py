"""The evidence: what the log makes durable, alone and with several nodes, how fast it verifies, and
how small recordings are; and how fast SQL is classified.

In: the examples of the crates, built for release. Out: rows for the table.
"""

import json
import subprocess
from pathlib import Path

from figures import Row

ROOT = Path(__file__).resolve().parent.parent
_LONGEST_BUILD = 3600
_ROUNDS = 3


def example(package, name, *arguments):
    """The objects an example prints, one a line."""
    command = ("cargo", "run", "--release", "--quiet", "--package", package, "--example", name,
               "--", *arguments, "--json")
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_BUILD, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-400:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _median(rounds, figure):
    values = sorted(found[figure] for found in rounds)
    return values[len(values) // 2]


def log(quick):
    """One node: events of 1 kB made durable, how long each waits, and the verification of them."""
    seconds = "1" if quick else "5"
    rounds = [example("portcullis-evidence", "log_throughput", "1000", seconds)[0]
              for _ in range(1 if quick else _ROUNDS)]
    legs = {figure: [found[figure] for found in rounds]
            for figure in ("events_per_s", "p99_ms", "verified_per_s")}
    return [
        Row("log: events of 1 kB, one node", "/s", 50_000, _median(rounds, "events_per_s"),
            at_least=True, legs={"durable": legs["events_per_s"]}),
        Row("log: wait of an event, p99", "ms", 50, _median(rounds, "p99_ms"),
            legs={"p99": legs["p99_ms"]}),
        Row("log: verify", "entries/s", 500_000, _median(rounds, "verified_per_s"),
            at_least=True, legs={"verify": legs["verified_per_s"]}),
    ]


def common_log(quick):
    """Two nodes on one PostgreSQL whose commits wait for the disk."""
    seconds = "1" if quick else "5"
    rounds = [example("portcullis-gateway", "common_log", "2", "1000", seconds)[0]
              for _ in range(1 if quick else _ROUNDS)]
    return [
        Row("log: two nodes on one PostgreSQL", "/s", 40_000, _median(rounds, "events_per_s"),
            at_least=True, legs={"durable": [found["events_per_s"] for found in rounds]},
            notes={"rounds": rounds}),
    ]


def recording(_quick):
    """The recorder alone: 54 MB of what terminals show, with the example that makes it."""
    told = example("portcullis-evidence", "recording_size")
    whole = next(found for found in told if found["output"] == "all")
    return [Row(
        "54 MB of terminal output, recorded", "MB", 15.0, whole["recorded"] / 1e6,
        notes={"outputs": told},
        legs={found["output"]: [found["recorded"] / found["bytes"]] for found in told})]


def classify(quick):
    """SQL statements classified on one core, most of them remembered by fingerprint."""
    seconds = "1" if quick else "3"
    rounds = [example("portcullis-sql", "classify_throughput", seconds)[0]
              for _ in range(1 if quick else _ROUNDS)]
    legs = {figure: [found[figure] for found in rounds]
            for figure in ("statements_per_s", "anew_per_s")}
    return [
        Row("SQL statements classified, one core", "/s", 200_000,
            _median(rounds, "statements_per_s"), at_least=True,
            legs={"remembered": legs["statements_per_s"], "anew": legs["anew_per_s"]},
            notes={"rounds": rounds}),
    ]


def search(quick):
    """Searches of a log of ten million events, opening the proof of one, and verifying all of them."""
    told = example("portcullis-control", "audit_search", "200000" if quick else "10000000")
    found = {one["case"]: one["value"] for one in told}
    slowest = max(value for case, value in found.items()
                  if case.startswith("search:") and case.endswith("median"))
    return [
        Row("audit search, the slowest kind's median", "ms", 200, slowest, notes={"cases": found}),
        Row("proof of an event", "ms", 10, found["proof of an event, median"]),
        Row("log: verify, events as in service", "entries/s", 500_000, found["verified"],
            at_least=True),
    ]


ALONE = {"log": log, "common-log": common_log, "recording": recording,
         "classify": classify, "search": search}
