"""How soon a typed byte comes back, quietly and while others sign in with passwords."""

import json
import os
import pty
import select
import statistics
import subprocess
import sys
import time
import tty
from pathlib import Path

from figures import Row
from stage import LEGS, StageError

_LONGEST_ECHO = 10.0
_LONGEST_START = 60.0
# Between two bytes, so that each is measured on its own.
_PAUSE = 0.002


class Typist:
    """An `ssh -tt` at a real terminal whose far end echoes."""

    def __init__(self, command):
        self._terminal, far = pty.openpty()
        tty.setraw(far)
        self._process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, start_new_session=True)
        os.close(far)
        seen = b""
        while b"READY" not in seen:
            seen += self._read(_LONGEST_START)

    def round_trip(self):
        """Seconds from writing one byte to reading it."""
        started = time.perf_counter()
        os.write(self._terminal, b"x")
        self._read(_LONGEST_ECHO)
        return time.perf_counter() - started

    def close(self):
        """Ends the session."""
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _read(self, patience):
        if not select.select([self._terminal], [], [], patience)[0]:
            raise StageError(f"nothing was shown for {patience:.0f} s")
        try:
            return os.read(self._terminal, 4096)
        except OSError as error:
            raise StageError("the session ended before its time") from error


def echo(stage, size):
    """Both rows: quiet, and with sign-ins."""
    typists = {}
    try:
        for leg in LEGS:
            typists[leg] = Typist(
                stage.ssh("-tt", leg, "stty raw echo; printf READY; exec sleep 3600"))
        _measure(typists, 20)
        quiet = _measure(typists, size.echoes)
        with Logins(stage) as logins:
            time.sleep(0.5)
            loaded = _measure(typists, size.echoes)
    finally:
        for typist in typists.values():
            typist.close()
    before = {leg: statistics.median(values) for leg, values in quiet.items()}
    after = {leg: statistics.median(values) for leg, values in loaded.items()}
    rows = [
        Row("pty echo p50", "x direct", 1.5, before["gate"] / before["direct"], legs=quiet,
            notes={"raw": "ms", "jump": round(before["jump"] / before["direct"], 3)}),
        Row("pty echo p50, 8 password logins", "x quiet gate", 1.5, after["gate"] / before["gate"],
            legs=loaded, notes={
                "raw": "ms", "logins": logins.told,
                "direct, x quiet": round(after["direct"] / before["direct"], 3),
                "p99": {leg: round(_p99(values), 3) for leg, values in loaded.items()}})]
    rows[0].notes["p99"] = {leg: round(_p99(values), 3) for leg, values in quiet.items()}
    return rows


class Logins:
    """Eight people signing in for as long as the context lasts."""

    def __init__(self, stage):
        self._port = stage.api_port
        self.told = None

    def __enter__(self):
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("logins.py")), str(self._port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        seconds = time.monotonic() - self._began
        try:
            said, _ = self._process.communicate(timeout=60)
            self.told = json.loads(said)
            self.told["per_second"] = round(self.told["succeeded"] / seconds, 1)
        except (subprocess.TimeoutExpired, ValueError):
            self._process.kill()
            self._process.wait()


def _measure(typists, count):
    times = {leg: [] for leg in typists}
    for _ in range(count):
        for leg, typist in typists.items():
            times[leg].append(typist.round_trip() * 1000)
            time.sleep(_PAUSE)
    return times


def _p99(values):
    return sorted(values)[int(len(values) * 0.99)]
