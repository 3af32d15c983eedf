"""What is measured: one node, one target, one plain jump host, all real programs on loopback.

In: the program to measure and a directory. Out: a node with a production environment that records,
an approved grant, a certificate with a second factor, and an `ssh_config` with the legs `direct`,
`jump` and `gate`. Everything goes through the product's own command line; no check is off.
"""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

CIPHER = "aes128-gcm@openssh.com"
KEX = "curve25519-sha256"
LEGS = ("direct", "jump", "gate")
# Users who sign in with a password in a loop while something else is measured.
LOAD_USERS = tuple(f"load{number}" for number in range(1, 9))
PASSWORD = "correct horse battery staple 9 lanterns"

_PATIENCE = 60.0
_SERVERS = ("/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd")

_RESOURCES = """\
kind: Environment
metadata: {{name: production}}
spec:
  tier: production
  approval: {{groups: [leads], count: 1}}
  max_grant: 8h
  second_factor: {{max_age: 12h}}
  recording: required
---
kind: Target
metadata: {{name: prod, labels: {{app: web}}}}
spec:
  environment: production
  ssh:
    host: 127.0.0.1
    port: {port}
    logins: ["{login}"]
    host_keys: ["{host_key}"]
---
kind: Group
metadata: {{name: leads}}
spec: {{description: People who approve}}
---
kind: Role
metadata: {{name: engineer}}
spec:
  allow:
    - environments: [production]
      actions: [shell, exec, upload, download, forward]
---
kind: Role
metadata: {{name: lead}}
spec: {{control: [read_requests, list_sessions, drop]}}
---
kind: RoleAssignment
metadata: {{name: engineers}}
spec: {{role: engineer, users: [alice]}}
---
kind: RoleAssignment
metadata: {{name: leads}}
spec: {{role: lead, groups: [leads]}}
"""
_USER = "---\nkind: User\nmetadata: {{name: {name}}}\nspec: {{groups: [{groups}]}}\n"

_SSHD = """\
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {authorized}
{authorities}
AuthorizedPrincipalsFile none
PidFile none
LogLevel ERROR
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
MaxStartups 2000
# No start-up files of a shell: their time would hide what is measured.
SetEnv HOME={directory}/home
Ciphers {cipher}
KexAlgorithms {kex}
Subsystem sftp internal-sftp
"""

_CLIENT = """\
Host direct
  Port {target}
  HostKeyAlias target
Host box
  Port {box}
  HostKeyAlias box
Host jump
  Port {target}
  HostKeyAlias target
  ProxyJump box
Host direct box jump
  User {login}
  IdentityFile {directory}/key
Host gate
  Port {gate}
  HostKeyAlias gate
  User alice:prod
  IdentityFile {directory}/gate_key
  CertificateFile {directory}/gate_key-cert.pub
Host *
  HostName 127.0.0.1
  Ciphers {cipher}
  KexAlgorithms {kex}
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  BatchMode yes
  ControlPath none
  Compression no
  ConnectTimeout 30
  LogLevel ERROR
  IgnoreUnknown ObscureKeystrokeTiming
  ObscureKeystrokeTiming no
"""


class StageError(Exception):
    """Something the measurement needs did not come about."""


class Stage:
    """See the module. Use as a context manager: everything started is ended with it."""

    def __init__(self, program, directory, scratch):
        self.program = str(program)
        self.directory = Path(directory)
        self.scratch = Path(scratch)
        self.gate = None
        self._sshd = {}
        self._codes = {}
        self._ports = {name: _free_port() for name in ("target", "box", "gate", "api")}
        self._login = subprocess.check_output(["id", "-un"], text=True).strip()

    def __enter__(self):
        self.directory.mkdir(parents=True, mode=0o700)
        self.scratch.mkdir(parents=True, mode=0o700)
        try:
            self._set()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in [self.gate, *self._sshd.values()]:
            _end(process)
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def ssh(self, *arguments, tool="ssh"):
        """A client's command line."""
        return [tool, "-F", str(self.directory / "ssh_config"), *arguments]

    def run(self, who, *arguments):
        """One command of the program as `who`; its standard output."""
        return self._portcullis(who, arguments, {})

    def restart(self):
        """A node that has not done anything yet, so that memory is not what earlier rows left."""
        _end(self.gate)
        self._serve()

    def gate_cpu(self):
        """CPU seconds the node has used, user and system."""
        return _cpu(self.gate.pid, children=False)

    def target_cpu(self):
        """CPU seconds of the target's sessions that have ended."""
        return _cpu(self._sshd["target"].pid, children=True)

    def gate_rss(self):
        """Resident bytes of the node."""
        for line in Path(f"/proc/{self.gate.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise StageError("the node has no resident memory: it has ended")

    def live_sessions(self):
        """How many sessions the node says are live."""
        told = json.loads(self.run("bob", "--json", "sessions", "list", "--live", "--limit", "1000"))
        return len(told if isinstance(told, list) else next(iter(told.values())))

    @property
    def api_port(self):
        """Where the node's API listens on loopback."""
        return self._ports["api"]

    def forget_recordings(self):
        """Gives the disk back between two measurements; the files of ended sessions only."""
        for path in (self.directory / "data" / "recordings").rglob("*"):
            if path.is_file() and path.stat().st_size > 1 << 20:
                path.unlink()

    def drop_command(self):
        """How one person drops the environment: arguments and environment variables."""
        return self._command("bob", ("drop", "production", "--reason", "bench"), {})

    def raise_again(self):
        """Raises it, which takes two."""
        for who in ("bob", "carol"):
            self.run(who, "raise", "production", "--reason", "bench")

    def _set(self):
        for name in ("key", "gate_key", "target/host_key", "box/host_key"):
            path = self.directory / name
            path.parent.mkdir(exist_ok=True)
            _checked(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)])
        host_key = _public(self.directory / "target/host_key")
        (self.directory / "resources.yaml").write_text(self._resources(host_key))
        (self.directory / "people.json").write_text(json.dumps(self._people()))
        (self.directory / "people.json").chmod(0o600)
        self._config().write_text(
            f'[node]\nname = "bench"\ndata_dir = "{self.directory}/data"\n'
            f'[ssh]\nlisten = "127.0.0.1:{self._ports["gate"]}"\n'
            f'[sign_in]\nmax_connections_per_person = 4096\n'
            f'[api]\nlisten = "127.0.0.1:{self._ports["api"]}"\n'
        )
        told = json.loads(self.run(
            None, "--json", "init", "--config", str(self._config()),
            "--file", str(self.directory / "resources.yaml"),
            "--people", str(self.directory / "people.json"),
        ))
        (self.directory / "authority.pub").write_text(told["target_authority"] + "\n")
        self._start_sshd("target", f"TrustedUserCAKeys {self.directory}/authority.pub")
        self._start_sshd("box", "")
        self._serve()
        gate_key = self._sign_everybody_in()
        self._grant()
        self._client_files(host_key, gate_key)

    def _resources(self, host_key):
        users = {"alice": "", "bob": "leads", "carol": "leads", **dict.fromkeys(LOAD_USERS, "")}
        text = _RESOURCES.format(
            port=self._ports["target"], login=self._login, host_key=host_key)
        return text + "".join(
            _USER.format(name=name, groups=groups) for name, groups in users.items())

    def _people(self):
        people = [{"name": name, "password": PASSWORD} for name in LOAD_USERS]
        for name in ("alice", "bob", "carol"):
            self._codes[name] = base64.b32encode(os.urandom(20)).decode()
            people.append(
                {"name": name, "password": PASSWORD, "totp_secret": self._codes[name]})
        return people

    def _config(self):
        return self.directory / "portcullis.toml"

    def _start_sshd(self, name, authorities):
        server = next((path for path in _SERVERS if Path(path).exists()), None)
        if server is None:
            raise StageError("there is no OpenSSH server; run `apt-get install openssh-server`")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        directory = self.directory / name
        (directory / "home").mkdir()
        config = directory / "sshd_config"
        config.write_text(_SSHD.format(
            port=self._ports[name], directory=directory, authorities=authorities,
            authorized=self.directory / "key.pub", cipher=CIPHER, kex=KEX))
        log = open(directory / "log", "wb")
        self._sshd[name] = subprocess.Popen(
            [server, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        _wait_for(lambda: _listens(self._ports[name]), f"the sshd `{name}`")

    def _serve(self):
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        log = open(self.directory / "node.log", "ab")
        self.gate = subprocess.Popen(
            [self.program, "serve", "--config", str(self._config()), "--ready-file", str(ready)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        _wait_for(lambda: ready.exists() or self.gate.poll() is not None, "the node")
        if self.gate.poll() is not None:
            raise StageError("the node ended: " + (self.directory / "node.log").read_text()[-2000:])

    def _sign_everybody_in(self):
        gate_key = ""
        for name, secret in self._codes.items():
            key = ["--key", str(self.directory / "gate_key")] if name == "alice" else ["--no-key"]
            told = json.loads(self._portcullis(
                name, ["--json", "login", name, *key],
                {"PORTCULLIS_PASSWORD": PASSWORD, "PORTCULLIS_CODE": _code(secret)}))
            gate_key = " ".join(told["gate_host_key"].split()[:2])
            if told.get("certificate"):
                (self.directory / "gate_key-cert.pub").write_text(told["certificate"] + "\n")
        return gate_key

    def _grant(self):
        told = json.loads(self.run(
            "alice", "--json", "request", "prod", "--for", "8h", "--reason", "bench"))
        self.run("bob", "approve", told.get("id") or told["request"]["id"])

    def _client_files(self, host_key, gate_key):
        box_key = _public(self.directory / "box/host_key")
        (self.directory / "known_hosts").write_text(
            f"target {host_key}\nbox {box_key}\ngate {gate_key}\n")
        (self.directory / "ssh_config").write_text(_CLIENT.format(
            directory=self.directory, login=self._login, cipher=CIPHER, kex=KEX,
            target=self._ports["target"], box=self._ports["box"], gate=self._ports["gate"]))

    def _portcullis(self, who, arguments, more):
        return _checked(*self._command(who, arguments, more))

    def _command(self, who, arguments, more):
        home = self.directory / "home" / (who or "nobody")
        home.mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1",
            "PORTCULLIS_HOME": str(home),
            "PORTCULLIS_ADDRESS": f"http://127.0.0.1:{self._ports['api']}", **more}
        return [self.program, *arguments], environment


def _cpu(pid, children):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = fields[13:15] if children else fields[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def _checked(command, environment=None):
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=_PATIENCE, check=False)
    if done.returncode != 0:
        raise StageError(f"`{' '.join(command)}` failed: {done.stdout}{done.stderr}")
    return done.stdout


def _code(secret):
    """RFC 6238, SHA-1, six digits, 30 seconds."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    start = digest[-1] & 15
    number = struct.unpack(">I", digest[start:start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def _public(path):
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _wait_for(holds, what):
    end = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise StageError(f"{what} did not come up in {_PATIENCE:.0f} s")
        time.sleep(0.02)


def _end(process):
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
