#!/usr/bin/env python3
"""smtp_sink.py FILE FAILURES: a mail server that keeps what it is told to do once

Each key (header X-Idempotency-Key) is accepted once and written to FILE; a mail
that comes again is answered "250 known" and written as "again KEY".  FAILURES is
the share of mails that go wrong: refused, or accepted without an answer.
Prints its port.
"""
import os
import random
import socketserver
import sys
import threading


class Handler(socketserver.StreamRequestHandler):
    def answer(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def read_mail(self):
        key = None
        for line in self.rfile:
            line = line.rstrip(b"\r\n")
            if line == b".":
                return key
            if line.lower().startswith(b"x-idempotency-key:"):
                key = line.split(b":", 1)[1].strip().decode()
        return None

    def deliver(self, key):
        with self.server.lock:
            known = key in self.server.keys
            self.server.keys.add(key)
            self.server.file.write(f"again {key}\n" if known else f"{key}\n")
            self.server.file.flush()
            os.fsync(self.server.file.fileno())
        return "250 known" if known else "250 accepted"

    def handle(self):
        self.answer("220 sink")
        for line in self.rfile:
            command = line.strip().upper()
            if command == b"DATA":
                self.answer("354 go on")
                key = self.read_mail()
                if key is None:
                    return
                if random.random() < self.server.failures:
                    self.answer("451 try again later")
                    continue
                said = self.deliver(key)
                if random.random() < self.server.failures:
                    return
                self.answer(said)
            elif command == b"QUIT":
                self.answer("221 bye")
                return
            else:
                self.answer("250 ok")


class Sink(socketserver.ThreadingTCPServer):
    daemon_threads = True


def main():
    with Sink(("127.0.0.1", 0), Handler) as sink:
        sink.lock = threading.Lock()
        sink.keys = set()
        sink.file = open(sys.argv[1], "a", encoding="utf-8")
        sink.failures = float(sys.argv[2])
        print(sink.server_address[1], flush=True)
        sink.serve_forever()


if __name__ == "__main__":
    main()
