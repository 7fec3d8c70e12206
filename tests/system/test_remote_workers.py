"""Resident qmail-remotes: message after message, and no server can tell why.

A worker is compared with fresh processes, with servers that behave in every
way between two messages, and is mistreated as a process can be.
"""

import os
import random
import shutil
import signal
import socket

import pytest

import jobs
import processes
from test_remote import EHLO, HOLD, MESSAGE, PLAIN, WIRE, Instance, Server, rjob
from waiting import wait_for

ACCEPTED = ("K", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n")
DIED = "Connected to 127.0.0.1 but connection died. "


class House(Instance):
    """An Instance with a qmail-rspawn."""

    def __init__(self, bin):
        super().__init__(bin)
        self.peer = None
        self.number = 0

    def start(self, **env):
        self.end()
        self.peer = jobs.Peer([self.home / "bin/qmail-rspawn"], env={**os.environ, **env})
        self.peer.hello()

    def end(self):
        if self.peer:
            self.peer.process.kill()
            self.peer.process.communicate()
            self.peer.sock.close()
        self.peer = None

    def send(self, to=(b"a@f",), **kw):
        if not self.peer:
            self.start()
        self.number += 1
        self.peer.send(*rjob(self.number, list(enumerate(to)), **kw))

    def result(self):
        _, outcomes = self.peer.result()
        return outcomes

    def deliver(self, to=(b"a@f",), **kw):
        self.send(to, **kw)
        outcomes = self.result()
        return outcomes[0] if len(outcomes) == 1 else outcomes

    def workers(self):
        return [pid for pid in processes.children(self.peer.process.pid) if not is_gone(pid)]

    def worker(self):
        (pid,) = wait_for(lambda: self.workers(), 10, "a worker")
        return pid

    def remove(self):
        self.end()
        shutil.rmtree(self.home)


def is_gone(pid):
    try:
        return processes.status(pid)["State"][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def house(bin):
    it = House(bin)
    yield it
    it.remove()


@pytest.fixture
def server(house):
    it = Server()
    house.route(it)
    yield it
    it.close()


ENVELOPE = [b"MAIL FROM:<s@me.test> SIZE=35", b"RCPT TO:<a@f>", b"DATA"]


# ---- one connection ----

def test_next_message_uses_the_connection(house, server):
    for _ in range(3):
        assert house.deliver() == ACCEPTED
    assert server.connections == 1
    assert server.commands == [b"EHLO me.test"] + 3 * ENVELOPE
    assert server.data == 3 * [WIRE]
    assert len(house.workers()) == 1
    assert house.peer.close()[0] == 0
    server.settle()
    assert server.commands[-1] == b"QUIT"
    house.peer = None


def test_after_a_refusal_comes_rset(house, server):
    server.replies[b"RCPT"] = b"550 no\r\n"
    assert house.deliver()[0] == "D"
    server.replies[b"RCPT"] = PLAIN
    assert house.deliver() == ACCEPTED
    server.replies[b"."] = b"554 spam\r\n"
    assert house.deliver()[0] == "D"
    server.replies[b"."] = b"250 taken\r\n"
    server.replies[b"DATA"] = b"451 later\r\n"
    assert house.deliver()[0] == "Z"
    server.replies[b"DATA"] = b"354 go\r\n"
    server.replies[b"RSET"] = PLAIN
    assert house.deliver() == ACCEPTED
    assert house.deliver() == ACCEPTED
    # The first RSET was not answered by 250.
    assert server.connections == 3
    assert server.commands.count(b"RSET") == 3


def test_hopeless_messages_do_not_cost_the_connection(house, server):
    server.replies[b"EHLO"] = b"250-fake\r\n250 SIZE 60\r\n"
    big = b"Subject: x\n\n" + b"y" * 100 + b"\n"
    assert house.deliver() == ACCEPTED
    assert house.deliver(message=big)[1].endswith("no message over 60 bytes. (#5.3.4)\n")
    assert house.deliver() == ACCEPTED
    assert server.connections == 1
    assert b"RSET" not in server.commands


@pytest.mark.parametrize("last_words", [b"", b"421 idle too long\r\n", b"garbage"])
def test_server_that_closes_an_idle_connection_costs_nothing(house, server, last_words):
    server.replies[b"."] = b"250 taken\r\n" + last_words
    for n in range(3):
        assert house.deliver() == ACCEPTED
        if not last_words:
            server.hang_up()
    assert server.connections == 3
    assert len(server.data) == 3


@pytest.mark.parametrize("reply", [None, b"421 bye\r\n", b"450 too many messages\r\n",
                                   b"503 enough\r\n", b"nonsense\r\n"])
@pytest.mark.parametrize("pipelining", [True, False])
def test_mail_refused_on_a_kept_connection_is_said_on_a_fresh_one(house, server, reply, pipelining):
    """Whoever limits messages a connection, in whatever words."""
    if not pipelining:
        server.replies[b"EHLO"] = PLAIN
    server.replies[b"MAIL"] = lambda line: reply if server.in_session > 1 else PLAIN
    for _ in range(3):
        assert house.deliver() == ACCEPTED
    assert server.connections == 3
    assert server.data.count(WIRE) == 3
    # And if it says that of a fresh one, too, it stands.
    server.replies[b"MAIL"] = b"450 later\r\n"
    assert house.deliver() == ("Z", "Connected to 127.0.0.1 but sender was rejected.\n"
                                    "Remote host said: 450 later\n")


@pytest.mark.parametrize("verb, duplicate", [(b"RCPT", ""), (b"DATA", ""),
                                             (b".", "Possible duplicate! ")])
def test_lost_after_mail_was_accepted_is_deferred(house, server, verb, duplicate):
    assert house.deliver() == ACCEPTED
    old = server.replies[verb]
    server.replies[verb] = None
    assert house.deliver() == ("Z", DIED + duplicate + "(#4.4.2)\n")
    server.replies[verb] = old
    assert house.deliver() == ACCEPTED
    assert server.connections == 2


def test_server_gone_meanwhile(house, server):
    assert house.deliver() == ACCEPTED
    server.close()
    assert house.deliver() == ("Z", "Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n")


def test_idle_connection_ends_before_its_worker(house, server):
    house.start(VALIJA_TEST_CONNECTION_MS="50")
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    server.settle()
    assert server.commands[-1] == b"QUIT"
    assert house.deliver() == ACCEPTED
    assert house.workers() == [pid] and server.connections == 2


# ---- whose connection ----

def test_each_next_hop_has_its_own(house, server):
    other = Server()
    house.control("smtproutes", f"one.test:127.0.0.1:{server.port}\ntwo.test:127.0.0.1:{server.port}\n"
                                f"three.test:127.0.0.1:{other.port}\n")
    for n, host in enumerate((b"one.test", b"two.test", b"ONE.test", b"three.test")):
        house.peer or house.start()
        house.peer.send(*jobs.job(n, MESSAGE, b"s@me.test", [(0, b"a@f")], host=host))
        assert house.result()[0] == ACCEPTED
    assert server.connections == 1 and other.connections == 1
    assert len(house.workers()) == 2
    other.close()


def test_one_message_in_flight_each(house, server):
    held = []
    server.replies[b"."] = HOLD
    for _ in range(3):
        house.send()
    wait_for(lambda: len(server.data) == 3, 10, "three at once")
    held = house.workers()
    assert len(held) == 3
    assert server.connections == 3


@pytest.mark.parametrize("name, text, connections", [
    ("helohost", "other.test\n", 2), ("timeoutremote", "100\n", 1)])
def test_changed_settings_count_at_once(house, server, name, text, connections):
    assert house.deliver() == ACCEPTED
    house.control(name, text)
    assert house.deliver() == ACCEPTED
    assert server.connections == connections
    if name == "helohost":  # empty: me, as in a fresh process
        house.control(name, "\n")
        assert house.deliver() == ACCEPTED
        assert server.commands.count(b"EHLO me.test") == 2
    else:
        house.control(name, "x\n")
        assert house.deliver() == ("Z", "Unable to read control files. (#4.3.0)\n")
        (house.home / "control" / name).unlink()
        assert house.deliver() == ACCEPTED


def test_changed_route_counts_at_once(house, server):
    assert house.deliver() == ACCEPTED
    other = Server()
    house.route(other)
    assert house.deliver() == ACCEPTED
    house.route(server)
    assert house.deliver() == ACCEPTED
    assert len(server.data) == 2 and len(other.data) == 1
    (house.home / "control/smtproutes").unlink()
    # It is DNS's turn, and there is no name server.
    assert house.deliver() == ("Z", "DNS lookup of far.test failed temporarily. (#4.4.3)\n")
    other.close()


# ---- the process ----

def test_new_binary_is_used_at_once(house, server):
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    program = house.home / "bin/qmail-remote"
    shutil.copy(program, f"{program}.new")
    os.rename(f"{program}.new", program)
    assert house.deliver() == ACCEPTED
    wait_for(lambda: is_gone(pid), 10, "the end of the old one")
    assert server.connections == 2


def test_hundred_messages_are_enough(house, server):
    for _ in range(101):
        assert house.deliver() == ACCEPTED
    assert server.connections == 2


def test_leaking_worker_is_not_kept(house, server):
    house.start(VALIJA_TEST_WORKER_LEAKS="1")
    for _ in range(3):
        assert house.deliver() == ACCEPTED
        wait_for(lambda: not house.workers(), 10, "its end")
    assert server.connections == 3


def test_trouble_of_ours_ends_the_worker(house, server):
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    house.control("timeoutremote", "x\n")
    assert house.deliver()[0] == "Z"
    wait_for(lambda: is_gone(pid), 10, "its end")


def test_trouble_of_theirs_does_not(house, server):
    server.replies[b"RCPT"] = b"451 grey\r\n"
    assert house.deliver()[0] == "Z"
    pid = house.worker()
    assert house.deliver()[0] == "Z"
    assert house.workers() == [pid]


def test_worker_killed_while_idle_costs_nothing(house, server):
    for _ in range(3):
        assert house.deliver() == ACCEPTED
        pid = house.worker()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: is_gone(pid), 10, "its death")
    assert len(server.data) == 3


def test_worker_killed_in_a_job_defers_it(house, server):
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    server.replies[b"."] = HOLD
    house.send([b"a@f", b"b@f"])
    wait_for(lambda: len(server.data) == 2, 10, "the message")
    os.kill(pid, signal.SIGKILL)
    assert house.result() == {n: ("Z", "qmail-remote crashed.\n") for n in (0, 1)}
    server.replies[b"."] = b"250 taken\r\n"
    assert house.deliver() == ACCEPTED


def test_hung_worker_is_ended(house, server):
    house.control("timeoutdelivery", "1\n")
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    server.replies[b"."] = HOLD
    assert house.deliver() == ("Z", "Delivery took longer than 1 seconds and was ended. (#4.4.7)\n")
    assert is_gone(pid)


def test_stopped_worker_is_ended(house, server):
    house.control("timeoutdelivery", "1\n")
    assert house.deliver() == ACCEPTED
    pid = house.worker()
    os.kill(pid, signal.SIGSTOP)
    assert house.deliver()[0] == "Z"
    wait_for(lambda: is_gone(pid), 10, "its end")
    assert house.deliver() == ACCEPTED


def test_rspawn_killed_ends_idle_and_busy_workers(house, server):
    assert house.deliver() == ACCEPTED
    server.replies[b"."] = HOLD
    house.send()
    wait_for(lambda: len(server.data) == 2, 10, "the message")
    server.replies[b"."] = b"250 taken\r\n"
    assert house.deliver() == ACCEPTED
    both = house.workers()
    assert len(both) == 2
    house.peer.process.kill()
    house.peer.process.wait()
    # The idle one ends at once, the busy one when its server is done.
    server.hang_up()
    for pid in both:
        wait_for(lambda: is_gone(pid), 10, "its end")


NONSENSE = """#!/usr/bin/python3 -S
import os, socket, struct
def record(kind, value):
    return struct.pack("<QQ", kind, len(value)) + value
sock = socket.socket(fileno=0)
def job():
    packet, at, number = sock.recv(200000), 0, 0
    while at < len(packet):
        kind, size = struct.unpack_from("<QQ", packet, at)
        if kind == 3:
            number, = struct.unpack_from("<Q", packet, at + 16)
        at += 16 + size
    return number
def result(number, text, *more):
    sock.send(b"".join([record(1, b"valija-job 1"), record(3, struct.pack("<Q", number)),
                        record(32, struct.pack("<Q", 0) + b"K" + text), *more]))
number = job()
result(number, b"first", record(33, b""))
BODY
"""


@pytest.mark.parametrize("body, want", [
    ("job()", ("Z", "qmail-remote crashed.\n")),
    ("job(); sock.send(b'garbage')", ("Z", "qmail-remote said something odd.\n")),
    ("job(); result(number, b'of before')", ("Z", "qmail-remote said something odd.\n")),
    ("result(job(), b'second')", ("K", "second")),
    ("result(number, b'again')\nos.read(0, 1)", ("K", "first")),
])
def test_nonsense_of_a_kept_worker_is_no_outcome(house, server, body, want):
    path = house.home / "bin/qmail-remote"
    path.unlink()
    path.write_text(NONSENSE.replace("BODY", body))
    path.chmod(0o755)
    assert house.deliver() == ("K", "first")
    if "job()" not in body:
        wait_for(lambda: not house.workers(), 10, "its end")
    assert house.deliver() == want


# ---- the same as fresh ones ----

class Moody(Server):
    """Answers as the seed says, the same in whichever connection; between
    messages it does what it likes."""

    def __init__(self):
        self.script = None
        self.mood = random.Random(5)
        super().__init__({b"RCPT": self.rcpt, b"MAIL": self.mail, b"DATA": self.in_script,
                          b"RSET": self.rset})
        self.replies[b"."] = lambda _: self.dot()

    def next(self, seed):
        rnd = random.Random(seed)
        self.script = {
            b"MAIL": rnd.choice([PLAIN] * 8 + [b"550 no\r\n", b"451 later\r\n", None, b"421 x\r\n"]),
            b"DATA": rnd.choice([b"354 go\r\n"] * 8 + [b"554 no\r\n", b"451 no\r\n", None, b"421 x\r\n"]),
            b".": rnd.choice([b"250 taken\r\n"] * 8 + [b"554 spam\r\n", b"452 full\r\n", None, b"421 x\r\n"]),
        }
        self.seed = seed
        self.data.clear()

    def rcpt(self, line):
        # Whoever asks, in whatever order: connections that were given up, too.
        return random.Random(f"{self.seed} {line}").choice(
            [PLAIN] * 8 + [b"550-no\r\n550 user\r\n", b"451 grey\r\n", b"452 4.2.2 full\r\n", b"552 x\r\n",
                           b"421 gone\r\n"])

    def in_script(self, line):
        return self.script[line[:4]]

    def mail(self, line):
        if self.in_session > 1 and self.mood.random() < 0.2:
            return self.mood.choice([None, b"421 enough\r\n", b"450 many\r\n", b"x\r\n"])
        return self.in_script(line)

    def rset(self, line):
        return self.mood.choice([PLAIN, PLAIN, PLAIN, b"500 what\r\n", None])

    def dot(self):
        reply = self.script[b"."]
        if reply and self.mood.random() < 0.2:
            reply += b"421 I go\r\n"
        return reply


def test_resident_says_what_fresh_ones_say(house):
    server = Moody()
    house.route(server)
    program = [house.home / "bin/qmail-remote", "--jobs"]
    env = {**os.environ, "VALIJA_TEST_WORKER_STAYS": "1"}
    resident = jobs.Peer(program, env=env)
    kept = 0
    seen = set()
    for seed in range(300):
        to = [(n, b"user%d@f" % n) for n in range(random.Random(seed).choice([1, 1, 2, 5, 150]))]
        message = MESSAGE + b"y" * random.Random(-seed - 1).choice([0, 10, 70000])
        got = []
        for peer in (resident, None):
            before = server.connections
            fresh = peer or jobs.Peer(program)
            server.next(seed)
            fresh.send(*rjob(seed, to, message))
            result = fresh.result()
            whole = [data for data in server.data if data.endswith(b"\n.\r\n")]
            got.append((result, whole))
            if peer:
                kept += server.connections == before
            else:
                fresh.close()
        assert got[0] == got[1], seed
        seen.update(letter for letter, _ in got[0][0][1].values())
    assert seen == set("KZD")
    assert kept > 30
    assert resident.close()[0] == 0
    server.close()
