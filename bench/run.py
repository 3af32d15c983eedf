"""`make bench`: direct OpenSSH, OpenSSH ProxyJump and the gate, side by side.

In: the program to measure. Out: a table, and target/bench/results.json. Exit status 0 when every
measurement could be made, whether or not it reached what was asked.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import crowd
import evidence
import figures
import reasoning
import terminal
import transfers
from stage import CIPHER, KEX, Stage

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "target" / "bench" / "results.json"


@dataclass
class Size:
    """How much of everything."""

    quick: bool = False
    logins: int = 20
    transfer: int = 1 << 30
    transfers: int = 3
    echoes: int = 500
    stalled: int = 4
    crowds: tuple = (200, 1000)


QUICK = Size(True, 5, 64 << 20, 2, 100, 2, (20,))
MEASUREMENTS = {
    "login": transfers.login,
    "echo": terminal.echo,
    "exec-down": transfers.exec_down,
    "exec-up": transfers.exec_up,
    "scp-down": transfers.scp_down,
    "scp-up": transfers.scp_up,
    "stalled": crowd.stalled,
    "sessions": crowd.sessions,
}
ALONE = {**reasoning.ALONE, **evidence.ALONE}
NAMES = (*MEASUREMENTS, *ALONE)


def main():
    """See the module."""
    options = _options()
    size = QUICK if options.quick else Size()
    if options.sessions:
        size.crowds = tuple(options.sessions)
    chosen = [name for name in options.only or NAMES if name not in (options.skip or ())]
    machine = _machine(options.program)
    for what, is_it in machine.items():
        print(f"{what:<10} {is_it}")
    rows, failures = [], {}
    print(f"\n{figures.HEADING}", flush=True)
    if set(chosen) & set(MEASUREMENTS):
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        name = f"portcullis-bench-{os.getpid()}"
        scratch = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()) / name
        with Stage(options.program, RESULTS.parent / name, scratch) as stage:
            for name in chosen:
                if name in MEASUREMENTS:
                    measure = MEASUREMENTS[name]
                    _one(name, lambda: measure(stage, size), rows, failures)
    for name, measure in ALONE.items():
        if name in chosen:
            _one(name, lambda: measure(options.quick), rows, failures)
    machine["load after"] = _load()
    figures.write(RESULTS, machine, rows, failures)
    print(f"\nload now {machine['load after']}; everything is in {RESULTS.relative_to(ROOT)}")
    return 1 if failures else 0


def _one(name, measure, rows, failures):
    """A measurement that cannot be made is said and does not stop the others."""
    try:
        for row in measure():
            rows.append(row)
            print(row.to_line(), flush=True)
    except Exception as error:  # pylint: disable=broad-exception-caught
        failures[name] = str(error)
        print(f"{name:<34} could not be measured: {error}", flush=True)
        if os.environ.get("PORTCULLIS_BENCH_DEBUG"):
            traceback.print_exc()


def _machine(program):
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()
    version = subprocess.run([program, "version"], capture_output=True, text=True, check=False)
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"), "processor": f"{os.cpu_count()} x {model}",
        "kernel": platform.release(), "openssh": ssh, "gate": version.stdout.split("\n")[0],
        "algorithms": f"{KEX}, {CIPHER} on every connection", "load": _load()}


def _load():
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def _options():
    parser = argparse.ArgumentParser(
        description="Direct OpenSSH, OpenSSH ProxyJump and the gate, side by side.")
    parser.add_argument("--program", required=True, help="the portcullis to measure")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--only", action="append", choices=NAMES, help="only this (may be repeated)")
    parser.add_argument("--skip", action="append", choices=NAMES, help="not this (may be repeated)")
    parser.add_argument("--sessions", action="append", type=int, metavar="COUNT",
                        help="how many idle sessions (may be repeated; default 200 and 1000)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
