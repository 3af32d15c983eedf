"""A second client: commands, a shell, files and a forward with paramiko.

Reads {"port", "key", "user", "directory", "echo"} as JSON; prints what came of each as JSON.
"""
import json, sys, time

import paramiko

plan = json.load(sys.stdin)
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", plan["port"], plan["user"], key_filename=plan["key"],
               allow_agent=False, look_for_keys=False, timeout=20)
said = {}

_, out, err = client.exec_command("echo out; echo err >&2; exit 7")
said["exec"] = [out.read().decode(), err.read().decode(), out.channel.recv_exit_status()]

feed, out, _ = client.exec_command("cat")
feed.write("fed in")
feed.channel.shutdown_write()
said["stdin"] = out.read().decode()


def until(channel, text):
    seen, deadline = "", time.time() + 20
    while text not in seen and time.time() < deadline:
        if channel.recv_ready():
            seen += channel.recv(4096).decode(errors="replace")
        time.sleep(0.02)
    return seen


shell = client.invoke_shell(term="vt100", width=80, height=24)
shell.send("echo in-$((40+2))\n")
said["shell"] = until(shell, "in-42")
shell.resize_pty(width=101, height=33)
time.sleep(0.3)
shell.send("stty size\n")
said["size"] = "33 101" if "33 101" in until(shell, "33 101") else "unchanged"
shell.close()

files = client.open_sftp()
with files.open(plan["directory"] + "/there") as there:
    said["get"] = there.read().decode()
with files.open(plan["directory"] + "/put", "w") as put:
    put.write("x" * 300_000)
said["list"] = sorted(files.listdir(plan["directory"]))
files.close()

forward = client.get_transport().open_channel("direct-tcpip", ("127.0.0.1", plan["echo"]), ("127.0.0.1", 1))
forward.sendall(b"ping")
said["forward"] = forward.recv(4).decode()
client.close()
print(json.dumps(said))
