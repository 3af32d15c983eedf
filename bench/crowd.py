"""Many sessions at once: what each costs while idle or stalled, and how soon all can be ended."""

import os
import resource
import selectors
import signal
import subprocess
import time

from figures import Row
from stage import StageError

# Sign-ins under way at once: below the gate's bound for one source.
_AT_ONCE = 8
_LONGEST_OPENING = 0.6      # seconds for each session, on top of a minute
_LONGEST_END = 120.0
# A recording's chunk is written at the latest after ten seconds.
_IDLE = 12.0
_STALLED = 8.0
_WARM_UP = 8


class Crowd:
    """Sessions with a terminal that say READY and then nothing."""

    def __init__(self, stage):
        self._stage = stage
        self._clients = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self._clients.values():
            client.kill()
        for client in self._clients.values():
            client.wait()
            client.stdin.close()
            client.stdout.close()

    def open(self, count):
        """Opens so many, a few at a time."""
        end = time.monotonic() + 60 + count * _LONGEST_OPENING
        opening, opened = selectors.DefaultSelector(), 0
        while opened < count:
            while len(self._clients) < count and len(opening.get_map()) < _AT_ONCE:
                client = subprocess.Popen(
                    self._stage.ssh("-tt", "gate", "printf READY; exec sleep 7200"),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    start_new_session=True)
                self._clients[client.stdout.fileno()] = client
                opening.register(client.stdout, selectors.EVENT_READ)
            for key, _ in opening.select(timeout=1):
                said = os.read(key.fd, 4096)
                if b"READY" not in said:
                    said = said.decode(errors="replace").strip() or "nothing"
                    raise StageError(f"session {opened + 1} of {count} did not open, but said: {said}")
                opening.unregister(key.fileobj)
                opened += 1
            if time.monotonic() > end:
                raise StageError(f"only {opened} of {count} sessions opened in time")

    def ends_of(self, act):
        """Seconds from `act` to the first word after it, and to the end, of each client."""
        selector = selectors.DefaultSelector()
        for client in self._clients.values():
            selector.register(client.stdout, selectors.EVENT_READ)
        started = time.monotonic()
        act = subprocess.Popen(act[0], env=act[1], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told, ended = {}, []
        while selector.get_map():
            for key, _ in selector.select(timeout=1):
                now = time.monotonic() - started
                if os.read(key.fd, 4096):
                    told.setdefault(key.fd, now)
                else:
                    told.setdefault(key.fd, now)
                    ended.append(now)
                    selector.unregister(key.fileobj)
            if time.monotonic() - started > _LONGEST_END:
                break
        said, _ = act.communicate(timeout=60)
        if act.returncode != 0:
            raise StageError(f"the drop failed: {said.decode(errors='replace')}")
        left = len(selector.get_map())
        if left:
            raise StageError(f"{left} sessions were still open {_LONGEST_END:.0f} s after the drop")
        return sorted(told.values()), ended


def sessions(stage, size):
    """Memory of idle sessions, then a drop of them all, for each crowd."""
    for count in size.crowds:
        _raise_file_limit(count)
        stage.restart()
        with Crowd(stage) as crowd:
            crowd.open(_WARM_UP)
        time.sleep(2)
        before = stage.gate_rss()
        with Crowd(stage) as crowd:
            began = time.monotonic()
            crowd.open(count)
            opening = time.monotonic() - began
            time.sleep(_IDLE if not size.quick else 2)
            after, live = stage.gate_rss(), stage.live_sessions()
            cpu = stage.gate_cpu()
            told, ended = crowd.ends_of(stage.drop_command())
            cpu = stage.gate_cpu() - cpu
        stage.raise_again()
        each = (after - before) / count / 1024
        yield Row(
            f"idle session, of {count}", "KiB each", 100, each,
            notes={"before MiB": round(before / (1 << 20), 1),
                   "after MiB": round(after / (1 << 20), 1), "live": live,
                   "opened per second": round(count / opening, 1)})
        yield Row(
            f"drop of {count} sessions", "s", 1.0, ended[-1],
            legs={"told": [told[0], told[len(told) // 2], told[-1]],
                  "ended": [ended[0], ended[len(ended) // 2], ended[-1]]},
            notes={"gate CPU-s": round(cpu, 2), "raw": "first, median and last client"})


def stalled(stage, size):
    """Growth of the node while one side does not read."""
    stage.restart()
    with Crowd(stage) as crowd:
        crowd.open(_WARM_UP)
    time.sleep(2)
    source = stage.scratch / "stalled"
    source.write_bytes(os.urandom(200 << 20))
    down = _stall(stage, size, f"while cat {source}; do :; done", None, stops=True)
    up = _stall(stage, size, "sleep 3600", source, stops=False)
    source.unlink()
    return [
        Row("client that does not read", "MiB/session", 4.0, down[0], legs={"grown": down[1]}),
        Row("target that does not read", "MiB/session", 4.0, up[0], legs={"grown": up[1]})]


def _stall(stage, size, command, source, stops):
    before = stage.gate_rss()
    grown, clients = [], []
    try:
        for _ in range(size.stalled):
            with open(source or os.devnull, "rb") as stdin:
                clients.append(subprocess.Popen(
                    stage.ssh("gate", command), stdin=stdin, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, start_new_session=True))
        time.sleep(2)
        if stops:
            for client in clients:
                client.send_signal(signal.SIGSTOP)
        for _ in range(int(_STALLED * 4)):
            time.sleep(0.25)
            grown.append((stage.gate_rss() - before) / size.stalled / (1 << 20))
        if any(client.poll() is not None for client in clients):
            raise StageError("a session that should have been stalled has ended")
    finally:
        for client in clients:
            client.kill()
            client.wait()
    time.sleep(2)
    stage.forget_recordings()
    return max(grown), grown


def _raise_file_limit(count):
    """Two pipes for each client here; the node inherits the limit at its restart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8 * count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
