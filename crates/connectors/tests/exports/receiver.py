"""A web server that takes webhooks over TLS: verifies the signature and the time by itself, and
keeps what it has acknowledged.

receiver.py PORT CERTIFICATE KEY SECRET_BASE64 FILE MANNER...: one manner for each request, the last
for all that follow: ok, busy (503, Retry-After: 1), redirect, large (413 above 20 entries),
keep-and-die (keeps and resets), drop (resets), endless (an answer without end), unsigned.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

port, certificate, key, secret, path = sys.argv[1:6]
manners = sys.argv[6:]
secret = base64.b64decode(secret)
requests = 0
ids = open(path + ".ids", "a")
kept = open(path, "a")


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.answer(500, b"a redirect was followed")

    def do_POST(self):
        global requests
        manner = manners[min(requests, len(manners) - 1)]
        requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        ids.write(f"{manner} {message}\n")
        ids.flush()
        signed = b"%s.%s." % (message.encode(), at.encode()) + body
        wanted = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        if self.headers["webhook-signature"] != "v1," + wanted:
            return self.answer(401, b"the signature is wrong")
        if abs(time.time() - int(at)) > 300:
            return self.answer(401, b"too old")
        events = json.loads(body)
        if manner == "busy":
            return self.answer(503, b"later", ("Retry-After", "1"))
        if manner == "redirect":
            return self.answer(302, b"", ("Location", f"https://127.0.0.1:{port}/elsewhere"))
        if manner == "large" and len(events) > 20:
            return self.answer(413, b"too much")
        if manner == "drop":
            return self.reset()
        for event in events if isinstance(events, list) else [events]:
            kept.write(json.dumps(event) + "\n")
        kept.flush()
        os.fsync(kept.fileno())
        if manner == "keep-and-die":
            return self.reset()
        if manner == "endless":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return None
        return self.answer(204, None)

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body or b"")

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


class Server(HTTPServer):
    def handle_error(self, *arguments):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = Server(("127.0.0.1", int(port)), Receiver)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
