"""Signing in, and moving bytes: one leg after the other, round by round."""

import os
import statistics
import subprocess
import time

from figures import Row
from stage import LEGS, StageError

_LONGEST_LOGIN = 60.0
# Time in which what is left to do after a transfer (closing a recording) is still its cost.
_SETTLE = 0.3


def login(stage, size):
    """Connecting, signing in, and running `true`."""
    for leg in LEGS:
        _timed(stage.ssh(leg, "true"), _LONGEST_LOGIN)
    times = {leg: [] for leg in LEGS}
    for _ in range(size.logins):
        for leg in LEGS:
            seconds, _ = _timed(stage.ssh(leg, "true"), _LONGEST_LOGIN)
            times[leg].append(seconds * 1000)
    medians = _medians(times)
    return [Row(
        "login and `true`", "x direct", 1.15, medians["gate"] / medians["direct"], legs=times,
        notes={"raw": "ms", "jump": round(medians["jump"] / medians["direct"], 3)})]


def exec_down(stage, size):
    """`ssh HOST cat FILE`."""
    source = _random(stage, size.transfer)
    return _transfer(stage, size, "exec down", lambda leg: (stage.ssh(leg, f"cat {source}"), None))


def exec_up(stage, size):
    """`ssh HOST 'cat > /dev/null' < FILE`."""
    source = _random(stage, size.transfer)
    return _transfer(
        stage, size, "exec up", lambda leg: (stage.ssh(leg, "cat > /dev/null"), source))


def scp_down(stage, size):
    """`scp HOST:FILE .`, which is SFTP."""
    source, sink = _random(stage, size.transfer), stage.scratch / "sink"
    return _transfer(stage, size, "scp down (SFTP)", lambda leg: (
        stage.ssh("-q", f"{leg}:{source}", str(sink), tool="scp"), None))


def scp_up(stage, size):
    """`scp FILE HOST:`, which is SFTP."""
    source, sink = _random(stage, size.transfer), stage.scratch / "sink"
    return _transfer(stage, size, "scp up (SFTP)", lambda leg: (
        stage.ssh("-q", str(source), f"{leg}:{sink}", tool="scp"), None))


def _transfer(stage, size, name, command):
    gibibytes = size.transfer / (1 << 30)
    rates, gate_cpu, client_cpu, target_cpu = ({leg: [] for leg in LEGS} for _ in range(4))
    for _ in range(size.transfers):
        for leg in LEGS:
            arguments, source = command(leg)
            before = stage.gate_cpu(), stage.target_cpu()
            seconds, client = _timed(arguments, 60 + 300 * gibibytes, source)
            time.sleep(_SETTLE)
            rates[leg].append(size.transfer / (1 << 20) / seconds)
            gate_cpu[leg].append((stage.gate_cpu() - before[0]) / gibibytes)
            target_cpu[leg].append((stage.target_cpu() - before[1]) / gibibytes)
            client_cpu[leg].append(client / gibibytes)
            (stage.scratch / "sink").unlink(missing_ok=True)
        stage.forget_recordings()
    medians = _medians(rates)
    notes = {
        "raw": "MiB/s", "jump": round(medians["jump"] / medians["direct"], 3),
        "client CPU-s/GiB": _rounded(client_cpu), "target CPU-s/GiB": _rounded(target_cpu)}
    return [
        Row(name, "x direct", 0.8, medians["gate"] / medians["direct"], True, rates, notes),
        Row(f"{name}: CPU of the gate", "CPU-s/GiB", 4.0, statistics.median(gate_cpu["gate"]),
            legs={"gate": gate_cpu["gate"]})]


def _medians(values):
    return {leg: statistics.median(found) for leg, found in values.items()}


def _rounded(values):
    return {leg: round(statistics.median(found), 2) for leg, found in values.items()}


def _random(stage, size):
    """A file nothing compresses, in memory."""
    path = stage.scratch / "random"
    if not path.exists() or path.stat().st_size != size:
        with open(path, "wb") as out:
            for _ in range(0, size, 1 << 20):
                out.write(os.urandom(1 << 20))
    return path


def _timed(command, longest, source=None):
    """Seconds it took, and CPU seconds of it and its children."""
    before = os.times()
    started = time.monotonic()
    with open(source or os.devnull, "rb") as stdin:
        done = subprocess.run(
            command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=longest, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise StageError(f"`{' '.join(command)}` ended with {done.returncode}: {said}")
    after = os.times()
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system
