"""Hostile clients before they have signed in.

Reads {"port", "kind", "count"} as JSON. Prints "ready" once everything is under way, then a JSON object with
what it saw after a line on standard input asks for it. Sources are spread over 127.0.0.0/8, as a botnet's are.
"""
import json, resource, socket, sys, time

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
plan = json.loads(sys.stdin.readline())


def connect(number):
    stream = socket.socket()
    stream.bind((f"127.9.{number // 250}.{number % 250 + 1}", 0))
    stream.settimeout(10)
    stream.connect(("127.0.0.1", plan["port"]))
    return stream


def closed(stream, seconds):
    """How long until the other side ends the connection; None if it does not in time."""
    begun = time.time()
    stream.settimeout(seconds)
    try:
        while stream.recv(65536):
            if time.time() - begun > seconds:
                return None
    except socket.timeout:
        return None
    except OSError:
        pass
    return time.time() - begun


kind, held, sent = plan["kind"], [], 0
if kind == "half_open":
    for number in range(plan["count"]):
        try:
            held.append(connect(number))
        except OSError:
            pass
elif kind == "banner":
    for number in range(plan["count"]):
        stream = connect(number)
        try:
            for _ in range(256):
                stream.sendall(b"x" * 16384)
                sent += 16384
        except OSError:
            pass
        held.append(stream)
elif kind == "lines":
    for number in range(plan["count"]):
        stream = connect(number)
        try:
            for _ in range(256):
                stream.sendall(b"not a version\r\n" * 1024)
        except OSError:
            pass
        held.append(stream)
elif kind == "length":
    for number in range(plan["count"]):
        stream = connect(number)
        try:
            stream.sendall(b"SSH-2.0-hostile\r\n" + b"\xff\xff\xff\xff" + b"\x00" * 1024)
            for _ in range(64):
                stream.sendall(b"\x00" * 16384)
        except OSError:
            pass
        held.append(stream)
elif kind == "slow":
    for number in range(plan["count"]):
        held.append(connect(number))
    begun = time.time()
    while time.time() - begun < plan["seconds"]:
        for stream in held:
            try:
                stream.sendall(b"S")
            except OSError:
                pass
        time.sleep(0.2)
print("ready", flush=True)
sys.stdin.readline()
waited = [closed(stream, 0.5) for stream in held]
print(json.dumps({"held": len(held), "open": sum(one is None for one in waited)}))
