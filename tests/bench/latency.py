"""How long one message takes: clients that keep time themselves.

Accepted: from the end of the message to its 250. Delivered: from there to
the name in new/, or to the remote host's having all of it.
"""

import os
import re
import socket
import threading
import time

import generator
from arrivals import Arrivals
from content import Wrong
from sink import Sink
from systems import DEAD, RELAY, empty
from waiting import wait_for

TOKEN = re.compile(rb"^Message-Id: <([^>\n]+)>", re.M)
LINE = b"Nothing that is worth reading, seventy bytes of it, again and again..\r\n"


def message(token):
    return (b"From: <%s>\r\nTo: <%s>\r\nDate: Thu, 26 Nov 2026 00:00:00 +0000\r\n"
            b"Message-Id: <%s>\r\n\r\n" % (generator.SENDER.encode(),
                                           generator.RECIPIENT.encode(), token)
            + LINE * 12 + b".\r\n")


class Client:
    """One SMTP session."""

    def __init__(self, where):
        host, port = where.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), 60)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        self.expect(b"2")
        self.say(b"HELO bench\r\n", b"2")

    def expect(self, digit):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                break
        if not line.startswith(digit):
            raise Wrong(f"the server says {line!r}")

    def say(self, text, digit):
        self.sock.sendall(text)
        self.expect(digit)

    def send(self, token, to):
        """(when all was sent, when it was accepted)."""
        self.say(b"MAIL FROM:<%s>\r\n" % generator.SENDER.encode(), b"2")
        self.say(b"RCPT TO:<%s>\r\n" % to.encode(), b"2")
        self.say(b"DATA\r\n", b"3")
        self.sock.sendall(message(token))
        sent = time.monotonic()
        self.expect(b"2")
        return sent, time.monotonic()

    def close(self):
        try:
            self.say(b"QUIT\r\n", b"2")
        finally:
            self.file.close()
            self.sock.close()


def sessions(where, count, messages, to):
    """{token: (sent, accepted)} of messages in `count` sessions at once."""
    times, failed = {}, []

    def one(number):
        try:
            client = Client(where)
            for n in range(messages // count):
                token = b"%d.%d.%d@bench" % (time.monotonic_ns(), number, n)
                times[token] = client.send(token, to)
            client.close()
        except (OSError, Wrong) as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise Wrong(f"{len(failed)} of {count} sessions failed; "
                    f"the first: {failed[0]!r}")
    return times


def file_tokens(folder):
    """{file name: token}."""
    found = {}
    for entry in os.scandir(folder):
        with open(entry.path, "rb") as file:
            token = TOKEN.search(file.read())
        if token:
            found[entry.name] = token[1]
    return found


def local(system, count, messages):
    """(ms to acceptance, ms to delivery) of each message."""
    empty(system, ["luis"])
    with Arrivals([system.mailbox()], pause_s=0) as arrivals:
        try:
            times = sessions(system.where, count, messages, generator.RECIPIENT)
        except Wrong as error:
            raise Wrong(f"{system.name}: {error}") from None
        arrivals.wait(len(times))
        came = {token: arrivals.times[name] for name, token
                in file_tokens(system.mailbox()).items()}
    if set(came) != set(times):
        raise Wrong(f"{system.name}: {len(came)} of {len(times)} are there")
    return ([1000 * (accepted - sent) for sent, accepted in times.values()],
            [1000 * (came[token] - sent) for token, (sent, _) in times.items()])


# ---- one message at a time, beside a long queue ----

class Stamps(list):
    """What a Sink appends, with the time."""

    def __init__(self):
        super().__init__()
        self.times = {}
        self.more = threading.Condition()

    def append(self, data):
        with self.more:
            self.times[TOKEN.search(data)[1]] = time.monotonic()
            self.more.notify_all()


class Remote(Sink):
    def __init__(self):
        super().__init__()
        self.messages = Stamps()

    def wait(self, token, limit_s):
        with self.messages.more:
            self.messages.more.wait_for(
                lambda: token in self.messages.times, limit_s)
            return self.messages.times.get(token)


class Silent:
    """A host that takes connections and never says anything."""

    def __init__(self, port):
        self.server = socket.create_server(("127.0.0.1", port), backlog=1000)
        self.taken = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            try:
                self.taken.append(self.server.accept()[0])
            except OSError:
                return

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for sock in self.taken:
            sock.close()


def wait_file(folder, token, limit_s):
    """When the one message came into an empty folder."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if any(token == t for t in file_tokens(folder).values()):
            return time.monotonic()
        time.sleep(0.001)
    return None


def single(system, messages, limit_s, remote=None):
    """ms to delivery, one after the other; limit_s counts where it is longer.

    remote: the host that takes what goes out; None: it goes to a mailbox.
    """
    to = f"x@{RELAY}" if remote else generator.RECIPIENT
    found = []
    client = Client(system.where)
    for n in range(messages):
        token = b"%d.single.%d@bench" % (time.monotonic_ns(), n)
        if remote:
            sent, _ = client.send(token, to)
            came = remote.wait(token, limit_s)
        else:
            empty(system, ["luis"])
            sent, _ = client.send(token, to)
            came = wait_file(system.mailbox(), token, limit_s)
        found.append(1000 * (limit_s if came is None else came - sent))
        if came is None and found.count(1000 * limit_s) == 5:
            break  # it has been shown
    client.close()
    return found


DEAD_HOSTS = 10


def fill(system, count):
    """Messages that nobody will take, for ten hosts; how many a second."""
    start = time.monotonic()
    for host in range(DEAD_HOSTS):
        stream = generator.Stream(10, True, to=f"x@d{host}.{DEAD}")
        generator.send([(1, stream)], count // DEAD_HOSTS, system.where)
    rate = count / (time.monotonic() - start)
    wait_for(lambda: system.waiting() >= count - count % DEAD_HOSTS, 600,
             lambda: f"{system.waiting()} of {count} in {system.name}'s queue")
    return rate
