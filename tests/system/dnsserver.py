"""A name server on loopback that says, or does, what a test tells it to.

    with DnsServer() as dns:
        dns.add("2.1.0.10.list.test", "TXT", "go away")
        dns.add("example.test", "MX", "10 mx.example.test")
        dns.behave("9.1.0.10.list.test", "servfail")
        run(..., env={"DNSCACHEIP": dns.cacheip})
        assert dns.asked == [("2.1.0.10.list.test", "TXT", "udp")]

What was not added does not exist (NXDOMAIN); a name that has other types has
no such data. How a server can behave to a name is in WAYS below.

As a program it reads all that as one line of JSON and serves until its input
ends: PrivateNet runs it at port 53 of a network that nothing else is in.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import sys
import threading

TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28}
NAMES = {number: name for name, number in TYPES.items()}
RCODES = {"formerr": 1, "servfail": 2, "notimp": 4, "refused": 5}
OPT = 41

WAYS = {
    **{rcode: "answers with this error" for rcode in RCODES},
    "silent": "no answer at all",
    "silent once": "no answer to the first question",
    "late": "an answer half a second later",
    "wrong id": "an answer with another id only",
    "wrong id first": "that, and then the right one",
    "wrong question": "an answer to another name only",
    "short data": "records whose data is a byte short",
    "garbage": "a header, and bytes that mean nothing",
    "loop": "names that point at themselves",
    "no edns": "an error for who wants EDNS, an answer for others",
    "cut": "a cut answer over UDP, all of it over TCP",
    "cut, no tcp": "a cut answer over UDP, a closed connection over TCP",
    "cut, silent tcp": "a cut answer over UDP, silence over TCP",
    "referral": "an answer of a server that does not know and asks nobody",
}


def encode_name(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def encode_text(value):
    """A string, of any length, or a list of strings as they shall be cut."""
    pieces = value if isinstance(value, list) else [value]
    pieces = [piece.encode("latin-1") for piece in pieces]
    if not isinstance(value, list):
        pieces = [pieces[0][at:at + 255] for at in range(0, len(pieces[0]) or 1, 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def encode_data(kind, value):
    if kind == "A":
        return socket.inet_aton(value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == "MX":
        preference, host = value.split(" ")
        return struct.pack(">H", int(preference)) + encode_name(host)
    if kind == "TXT":
        return encode_text(value)
    return encode_name(value)


class Question:
    """What a packet asks."""

    def __init__(self, packet):
        self.id, _, _, _, _, additional = struct.unpack(">6H", packet[:12])
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1"))
            at += 1 + packet[at]
        self.name = ".".join(labels).lower()
        number, = struct.unpack(">H", packet[at + 1:at + 3])
        self.kind = NAMES.get(number, str(number))
        self.section = packet[12:at + 5]
        self.size = 512
        if additional:
            _, kind, self.size = struct.unpack(">BHH", packet[at + 5:at + 10])
            assert kind == OPT
        self.edns = bool(additional)


class DnsServer:
    def __init__(self, host="127.0.0.1", port=0):
        self.records = {}  # name -> [(kind, value)], in order
        self.ways = {}  # name -> how
        self.asked = []  # (name, kind, "udp" or "tcp"), in order
        self.questions = []
        self.threads = []
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.open(port)
        for target in self.serve_udp, self.serve_tcp:
            thread = threading.Thread(target=target)
            thread.start()
            self.threads.append(thread)

    def open(self, port):
        """UDP and TCP at the same port."""
        while True:
            self.udp = socket.socket(self.family, socket.SOCK_DGRAM)
            self.udp.bind((self.host, port))
            self.port = self.udp.getsockname()[1]
            self.tcp = socket.socket(self.family)
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.tcp.bind((self.host, self.port))
            except OSError:  # somebody has it: another one
                self.udp.close()
                self.tcp.close()
                if port:
                    raise
                continue
            self.tcp.listen(20)
            self.stop_read, self.stop_write = os.pipe()
            return

    @property
    def cacheip(self):
        """For the environment variable DNSCACHEIP."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    # ---- what it says ----

    def add(self, name, kind, value):
        self.records.setdefault(name.lower(), []).append((kind, value))

    def behave(self, name, how):
        assert how in WAYS, how
        self.ways[name.lower()] = how

    def script(self):
        return {"records": [[name, kind, value] for name, rows in self.records.items()
                            for kind, value in rows], "ways": self.ways}

    def load(self, script):
        for name, kind, value in script.get("records", ()):
            self.add(name, kind, value)
        for name, how in script.get("ways", {}).items():
            self.behave(name, how)

    def chain(self, name, kind):
        """Records for the answer: aliases first, then what they lead to."""
        found, at, seen = [], name, set()
        while at not in seen:
            seen.add(at)
            rows = self.records.get(at, ())
            found += [(at, k, value) for k, value in rows if k == kind]
            target = [value for k, value in rows if k == "CNAME"]
            if kind == "CNAME" or not target:
                break
            found.append((at, "CNAME", target[0]))
            at = target[0].lower()
        return found

    def answer(self, question, way):
        """The packet, or None, to be sent over UDP or TCP."""
        how = self.ways.get(question.name, "")
        if how == "silent once":
            del self.ways[question.name]
        if how.startswith("silent") or (way == "tcp" and how == "cut, silent tcp"):
            return None
        rows = [] if how == "referral" else self.chain(question.name, question.kind)
        rcode = RCODES.get(how, 0)
        if how == "no edns" and question.edns:
            rcode = RCODES["formerr"]
        if not rcode and not rows and question.name not in self.records:
            rcode = 3
        flags = 0x8000 if how == "referral" else 0x8180
        body = b"" if rcode else self.body(rows, how)
        count = 1 if how in ("garbage", "loop") else 0 if rcode else len(rows)
        section = question.section
        if how == "wrong question":
            section = bytes([section[0], section[1] ^ 1]) + section[2:]
        cut = way == "udp" and (how.startswith("cut") or
                                12 + len(section) + len(body) > question.size)
        if cut:
            flags, body, count = flags | 0x200, b"", 0
        identity = question.id ^ (1 if how == "wrong id" else 0)
        return struct.pack(">6H", identity, flags | rcode, 1, count, 0, 0) + section + body

    def body(self, rows, how):
        if how == "garbage":
            return b"\xff" * 7
        if how == "loop":
            return b""  # filled in by whoever knows where it stands
        packed = b""
        for name, kind, value in rows:
            data = encode_data(kind, value)
            if how == "short data":
                data = data[:-1]
            packed += encode_name(name) + struct.pack(
                ">HHIH", TYPES[kind], 1, 60, len(data)) + data
        return packed

    def packets(self, question, way):
        self.asked.append((question.name, question.kind, way))
        self.questions.append(question)
        packet = self.answer(question, way)
        if packet is None:
            return []
        how = self.ways.get(question.name)
        if how == "loop":
            at = len(packet)
            packet += struct.pack(">HHHIH", 0xc000 | at, TYPES[question.kind], 1, 60, 0)
        if how == "wrong id first":
            forged = struct.pack(">H", question.id ^ 1) + packet[2:]
            return [forged, packet]
        return [packet]

    # ---- serving ----

    def wait(self, sock):
        """Until there is something for it; False at the end."""
        import selectors
        with selectors.DefaultSelector() as ready:
            ready.register(sock, selectors.EVENT_READ)
            ready.register(self.stop_read, selectors.EVENT_READ)
            return all(key.fileobj is not self.stop_read for key, _ in ready.select())

    def serve_udp(self):
        while self.wait(self.udp):
            packet, address = self.udp.recvfrom(4096)
            question = Question(packet)
            late = self.ways.get(question.name) == "late"
            for reply in self.packets(question, "udp"):
                if late:
                    timer = threading.Timer(0.5, self.send_late, (reply, address))
                    timer.start()
                    self.threads.append(timer)
                else:
                    self.udp.sendto(reply, address)

    def send_late(self, reply, address):
        with contextlib.suppress(OSError):
            self.udp.sendto(reply, address)

    def serve_tcp(self):
        held = []
        while self.wait(self.tcp):
            connection, _ = self.tcp.accept()
            connection.settimeout(20)
            file = connection.makefile("rb")
            size, = struct.unpack(">H", file.read(2))
            question = Question(file.read(size))
            if self.ways.get(question.name) == "cut, silent tcp":
                held.append(connection)
            elif self.ways.get(question.name) != "cut, no tcp":
                for reply in self.packets(question, "tcp"):
                    connection.sendall(struct.pack(">H", len(reply)) + reply)
            file.close()
            if connection not in held:
                connection.close()
        for connection in held:
            connection.close()

    def close(self):
        os.write(self.stop_write, b"x")
        for thread in self.threads:
            thread.join()
        for sock in self.udp, self.tcp:
            sock.close()
        os.close(self.stop_read)
        os.close(self.stop_write)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class PrivateNet:
    """A network of its own with a name server at port 53 of 127.0.0.1.

    Programs that know no other port are run in it. An ordinary user is root
    there, and in nothing else.
    """

    def __init__(self, script):
        self.user = [] if os.geteuid() == 0 else ["-U"]
        start = ["unshare", *(["-U", "-r"] if self.user else []), "-n",
                 "/usr/bin/python3", "-B", str(pathlib.Path(__file__).resolve())]
        self.server = subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.server.stdin.write(json.dumps(script).encode() + b"\n")
        self.server.stdin.flush()
        said = self.server.stdout.readline()
        assert said == b"ready\n", "there is no network of our own"

    def run(self, *command, **popen):
        enter = ["nsenter", f"--target={self.server.pid}", "--net"]
        if self.user:
            enter += ["--user", "--preserve-credentials"]
        return subprocess.run([*enter, *map(str, command)], capture_output=True,
                              timeout=120, **popen)

    def close(self):
        self.server.stdin.close()
        self.server.wait(timeout=20)
        self.server.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def raise_loopback():
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket() as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags, = struct.unpack("16xh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main():
    raise_loopback()
    with DnsServer(port=53) as dns:
        dns.load(json.loads(sys.stdin.readline()))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
