"""A name server, an ident server and the system's settings, in a network of
its own: how tcpclient and tcpserver see names there. A program, run by
in_a_world() of worlds.py:

    world.py client|server FOLDER CASES RESOLV.CONF

CASES is a list in JSON; so are the results, a line on standard output.
client: [what ident says, *arguments of tcpclient before the port].
server: [what ident says, the client's address, *options of tcpserver].
"""

import json
import os
import socket
import struct
import subprocess
import sys
import threading

A = {"one.example": ["127.0.0.7"], "two.example": ["127.0.0.6", "127.0.0.7"],
     "Mixed.Example": ["127.0.0.7"], "Far.Example": ["127.0.0.9", "127.0.0.7"],
     "liar.example": ["127.0.0.99"]}
PTR = {"7.0.0.127.in-addr.arpa": ["Far.Example"], "8.0.0.127.in-addr.arpa": ["near.example"],
       "6.0.0.127.in-addr.arpa": ["liar.example"]}


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def answer_names(server):
    while True:
        asked, who = server.recvfrom(2000)
        at, labels = 12, []
        while asked[at]:
            labels.append(asked[at + 1:at + 1 + asked[at]].decode())
            at += 1 + asked[at]
        name, kind = ".".join(labels), struct.unpack(">H", asked[at + 1:at + 3])[0]
        data = []
        known = {key.lower(): value for key, value in {**A, **PTR}.items()}.get(name.lower(), [])
        if kind == 1:
            data = [socket.inet_aton(ip) for ip in known]
        elif kind == 12:
            data = [wire(host) for host in known]
        answer = asked[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(data), 0, 0)
        answer += asked[12:at + 5]
        for each in data:
            answer += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(each)) + each
        server.sendto(answer, who)


def serve(listening, talk):
    while True:
        connection = listening.accept()[0]
        try:
            talk(connection)
        except OSError:
            pass
        connection.close()


def start(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()


class World:
    def __init__(self, folder, resolv_conf):
        self.folder = folder
        self.asked, self.reply = [], b""
        subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True)
        os.environ["DNSCACHEIP"] = "127.0.0.1"
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        start(answer_names, server)
        start(serve, socket.create_server(("127.0.0.7", 5000)), lambda c: c.recv(1))
        start(serve, socket.create_server(("127.0.0.7", 113)), self.ident)

    def ident(self, connection):
        self.asked.append(connection.recv(100).decode())
        connection.sendall(self.reply)

    def begin(self, reply):
        self.asked.clear()
        self.reply = reply.encode()

    def result(self, said, server_first):
        """The variables; what ident was asked is about this connection."""
        seen = dict(line.split("=", 1) for line in said.decode().splitlines()
                    if line.startswith(("TCP", "RULE")))
        ports = seen.pop("TCPREMOTEPORT", ""), seen.pop("TCPLOCALPORT", "")
        if seen:
            assert all(line.replace(" ", "") == "%s,%s\r\n" % ports for line in self.asked), self.asked
        return [seen, server_first, len(self.asked)]

    def client(self, reply, *args):
        self.begin(reply)
        done = subprocess.run([self.folder + "/tcpclient", *args, "5000", "env"], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=50)
        seen, _, asked = self.result(done.stdout, None)
        return [seen, done.returncode, done.stderr.decode(), asked]

    def server(self, reply, source, *options):
        self.begin(reply)
        with subprocess.Popen([self.folder + "/tcpserver", "-1", *options, "127.0.0.8", "0", "env"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            port = int(process.stdout.readline())
            with socket.create_connection(("127.0.0.8", port), 30, (source, 0)) as s:
                said = b"".join(iter(lambda: s.recv(65536), b""))
            process.terminate()
            errors = process.stderr.read().decode()
        return self.result(said, errors)


def main():
    kind, folder, cases, resolv_conf = sys.argv[1:]
    world = World(folder, resolv_conf)
    print(json.dumps([getattr(world, kind)(*case) for case in json.loads(cases)]))


if __name__ == "__main__":
    main()
