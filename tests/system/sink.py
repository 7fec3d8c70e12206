"""A remote host: takes every message by SMTP and remembers it."""

import socketserver
import threading


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.say(b"220 sink")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"EHLO":
                self.say(b"250-sink\r\n250 PIPELINING")
            elif command == b"DATA":
                self.say(b"354 go on")
                self.server.messages.append(self.data())
                self.say(b"250 taken")
            elif command == b"QUIT":
                self.say(b"221 bye")
                return
            else:
                self.say(b"250 ok")

    def say(self, text):
        try:
            self.wfile.write(text + b"\r\n")
        except OSError:
            pass  # killed: what it sent has been taken all the same

    def data(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                return b"".join(lines)
            line = line[1:] if line.startswith(b".") else line
            lines.append(line.replace(b"\r\n", b"\n"))
        raise ConnectionError("no end of data")


class Sink(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Session)
        self.messages = []
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that is killed in the middle is what this is for."""

    def close(self):
        self.shutdown()
        self.server_close()
