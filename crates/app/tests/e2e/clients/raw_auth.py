"""An SSH client that says in user authentication what no honest client says.

Reads one JSON object on standard input: {"port", "key": private key file, "steps": [...]}.
Steps: {"do": "none"|"offer"|"sign"|"password"|"interactive", "user": ..., "password": ..., "answers": [...]}
and {"do": "channel"}, which tries to open a session although nothing says that it may.
Prints one JSON object: {"got": [message numbers], "partial": [bool of each failure], "closed": bool,
"opened": whether a channel opened}.
"""
import json, socket, sys, threading, time

import paramiko
from paramiko.common import cMSG_CHANNEL_OPEN, cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.message import Message


class Listener:
    """Takes the place of paramiko's own authentication and writes down what comes."""

    def __init__(self, transport):
        self.transport, self.got, self.partial = transport, [], []
        self.news = threading.Condition()
        self._handler_table = {number: self.hear(number) for number in (6, 51, 52, 53, 60)}
        self.authenticated = False

    def hear(self, number):
        def handler(_self, message):
            with self.news:
                if number == 51:
                    message.get_text()
                    self.partial.append(message.get_boolean())
                if number == 52:
                    self.authenticated = True
                self.got.append(number)
                self.news.notify_all()
        return handler

    def is_authenticated(self):
        return self.authenticated

    def abort(self):
        with self.news:
            self.news.notify_all()

    def wait(self, count):
        """Until `count` messages came or the connection ended."""
        deadline = time.time() + 15
        with self.news:
            while len(self.got) < count and self.transport.is_active() and time.time() < deadline:
                self.news.wait(0.2)


def request(user, method):
    message = Message()
    message.add_byte(cMSG_USERAUTH_REQUEST)
    message.add_string(user)
    message.add_string("ssh-connection")
    message.add_string(method)
    return message


def signed(transport, user, key):
    blob = Message()
    blob.add_string(transport.session_id)
    message = request(user, "publickey")
    message.add_boolean(True)
    message.add_string(key.get_name())
    message.add_string(key.asbytes())
    blob.packet.write(message.asbytes())
    message.add_string(key.sign_ssh_data(blob.asbytes()).asbytes())
    return message


def main():
    plan = json.load(sys.stdin)
    key = paramiko.Ed25519Key.from_private_key_file(plan["key"])
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", plan["port"]), 10))
    transport.start_client(timeout=20)
    listener = transport.auth_handler = Listener(transport)
    service = Message()
    service.add_byte(cMSG_SERVICE_REQUEST)
    service.add_string("ssh-userauth")
    transport._send_message(service)
    listener.wait(1)
    opened = []
    # RFC 4254 section 5.1: the channel is open.
    transport._handler_table = dict(transport._handler_table)
    transport._handler_table[91] = lambda _transport, _message: opened.append(True)
    for step in plan["steps"]:
        before = len(listener.got)
        what, user = step["do"], step.get("user", "")
        if what == "none":
            message = request(user, "none")
        elif what == "offer":
            message = request(user, "publickey")
            message.add_boolean(False)
            message.add_string(key.get_name())
            message.add_string(key.asbytes())
        elif what == "sign":
            message = signed(transport, user, key)
        elif what == "password":
            message = request(user, "password")
            message.add_boolean(False)
            message.add_string(step["password"])
        elif what == "interactive":
            message = request(user, "keyboard-interactive")
            message.add_string("")
            message.add_string("")
        elif what == "answer":
            message = Message()
            message.add_byte(bytes([61]))
            message.add_int(len(step["answers"]))
            for answer in step["answers"]:
                message.add_string(answer)
        elif what == "channel":
            message = Message()
            message.add_byte(cMSG_CHANNEL_OPEN)
            message.add_string("session")
            for number in (0, 1 << 20, 1 << 15):
                message.add_int(number)
        try:
            transport._send_message(message)
        except (EOFError, OSError):
            break
        if what == "channel":
            deadline = time.time() + 1
            while transport.is_active() and not opened and time.time() < deadline:
                time.sleep(0.05)
        else:
            listener.wait(before + 1)
    time.sleep(0.3)
    answer = {"got": listener.got, "partial": listener.partial, "closed": not transport.is_active()}
    print(json.dumps(answer | {"opened": bool(opened)}))
    transport.close()


main()
