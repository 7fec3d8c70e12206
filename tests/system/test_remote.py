"""qmail-remote and qmail-rspawn against servers that say anything."""

import os
import pathlib
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import jobs
from waiting import wait_for

ROOT = os.geteuid() == 0
MESSAGE = b"Subject: hello\n\nline\n.dot\nend"
WIRE = b"Subject: hello\r\n\r\nline\r\n..dot\r\nend\r\n.\r\n"
EHLO = b"250-fake\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n"
PLAIN = b"250 fake\r\n"
HOLD = object()  # as a reply: say nothing, keep the connection


class Server(threading.Thread):
    """A server that answers by a table, and notes what it was told."""

    def __init__(self, replies=None, greeting=b"220 hi\r\n", host="127.0.0.1", port=0):
        super().__init__(daemon=True)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family)
        self.port = self.listener.getsockname()[1]
        self.replies = {b"EHLO": EHLO, b"HELO": PLAIN, b"MAIL": PLAIN, b"RCPT": PLAIN,
                        b"DATA": b"354 go\r\n", b".": b"250 taken\r\n", b"QUIT": b"221 bye\r\n"}
        self.replies.update(replies or {})
        self.greeting = greeting
        self.commands = []
        self.writes = []
        self.data = []
        self.connections = 0
        self.ended = 0
        self.sockets = []
        self.in_session = 0  # MAILs of the session that spoke last
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(sock)
            threading.Thread(target=self.attend, args=(sock,), daemon=True).start()

    def attend(self, sock):
        try:
            self.serve(sock)
        except (OSError, ConnectionError):
            pass
        self.sockets.remove(sock)
        sock.close()
        self.ended += 1

    def say(self, sock, reply):
        """False when the session is over."""
        if reply is None:
            return False
        if reply is HOLD:
            while sock.recv(4096):
                pass
            return False
        sock.sendall(reply)
        return True

    def serve(self, sock):
        if not self.say(sock, self.greeting):
            return
        pending = b""
        mails = 0
        while True:
            while b"\r\n" not in pending:
                got = sock.recv(65536)
                if not got:
                    return
                self.writes.append(got)
                pending += got
            line, pending = pending.split(b"\r\n", 1)
            self.commands.append(line)
            verb = line[:4].upper()
            mails += verb == b"MAIL"
            self.in_session = mails
            reply = self.replies.get(verb, b"500 what\r\n")
            if callable(reply):
                reply = reply(line)
            if not self.say(sock, reply) or verb == b"QUIT":
                return
            if verb == b"DATA" and reply.startswith(b"354"):
                data = b""
                while not (data + pending).startswith(b".\r\n") and b"\r\n.\r\n" not in data + pending:
                    got = sock.recv(65536)
                    if not got:
                        self.data.append(data + pending)
                        return
                    pending += got
                if pending.startswith(b".\r\n"):
                    end = 3
                else:
                    end = pending.index(b"\r\n.\r\n") + 5
                self.data.append(pending[:end])
                pending = pending[end:]
                reply = self.replies[b"."]
                if not self.say(sock, reply(b".") if callable(reply) else reply):
                    return

    def settle(self):
        """Wait until it has seen the end of what was said to it."""
        wait_for(lambda: self.ended == self.connections, 10, "the end of the session")

    def hang_up(self):
        for sock in list(self.sockets):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.hang_up()


class Instance:
    def __init__(self, bin):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="valija-remote-", dir="/var/tmp"))
        self.home.chmod(0o755)
        (self.home / "control").mkdir()
        (self.home / "bin").mkdir()
        for name in ("qmail-rspawn", "qmail-remote"):
            shutil.copy(bin / name, self.home / "bin" / name)
        self.control("me", "me.test\n")

    def control(self, name, text):
        (self.home / "control" / name).write_text(text)

    def route(self, server):
        self.control("smtproutes", f":[127.0.0.1]:{server.port}\n")

    def remote(self, message=MESSAGE, host="far.test", sender="s@me.test", to=("r@far.test",),
               dns=None):
        """(list of recipient reports, message report)"""
        env = {**os.environ, "DNSCACHEIP": dns.cacheip} if dns else None
        done = subprocess.run([self.home / "bin/qmail-remote", host, sender, *to],
                              input=message, capture_output=True, timeout=60, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(b"\0")
        reports = done.stdout[:-1].decode("latin-1").split("\0")
        assert reports[-1][0] in "KZD"
        assert all(r[0] in "rhs" for r in reports[:-1])
        return reports[:-1], reports[-1]


@pytest.fixture
def instance(bin):
    it = Instance(bin)
    yield it
    shutil.rmtree(it.home)


@pytest.fixture
def talk(instance):
    """talk(replies, ...) runs qmail-remote against a server: reports, server."""
    servers = []

    def run(replies=None, greeting=b"220 hi\r\n", **kw):
        server = Server(replies, greeting)
        servers.append(server)
        instance.route(server)
        reports = instance.remote(**kw)
        server.settle()
        return reports + (server,)

    yield run
    for server in servers:
        server.close()


def test_message_is_accepted(talk):
    rcpts, report, server = talk()
    assert rcpts == ["r"]
    assert report == "K127.0.0.1 accepted message.\nRemote host said: 250 taken\n"
    assert server.data == [WIRE]
    assert server.commands == [
        b"EHLO me.test", b"MAIL FROM:<s@me.test> SIZE=35",
        b"RCPT TO:<r@far.test>", b"DATA", b"QUIT"]


def test_pipelining_writes_the_envelope_at_once(talk):
    _, _, server = talk(to=["a@f", "b@f", "c@f"])
    assert [w for w in server.writes if w.startswith(b"MAIL")] == [
        b"MAIL FROM:<s@me.test> SIZE=35\r\nRCPT TO:<a@f>\r\nRCPT TO:<b@f>\r\n"
        b"RCPT TO:<c@f>\r\nDATA\r\n"]


def test_without_pipelining_each_command_waits(talk):
    _, report, server = talk({b"EHLO": PLAIN}, to=["a@f", "b@f"])
    assert report[0] == "K"
    assert [w for w in server.writes if not w.startswith(b"Subj")] == [
        b"EHLO me.test\r\n", b"MAIL FROM:<s@me.test>\r\n", b"RCPT TO:<a@f>\r\n",
        b"RCPT TO:<b@f>\r\n", b"DATA\r\n", b"QUIT\r\n"]


def test_helo_after_ehlo_is_unknown(talk):
    _, report, server = talk({b"EHLO": b"502 what\r\n"})
    assert report[0] == "K"
    assert server.commands[:2] == [b"EHLO me.test", b"HELO me.test"]


@pytest.mark.parametrize("reply", [None, b"421 no\r\n"])
def test_helo_on_a_new_connection_after_ehlo_broke_it(talk, reply):
    _, report, server = talk({b"EHLO": reply})
    assert report[0] == "K"
    assert server.connections == 2
    assert server.commands[:2] == [b"EHLO me.test", b"HELO me.test"]


CONNECTED = "Connected to 127.0.0.1 but "
SAID = ".\nRemote host said: "


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("replies, rcpt, want", [
    ({b"EHLO": b"450 later\r\n"}, None, "Z" + CONNECTED + "my name was rejected" + SAID + "450 later\n"),
    ({b"EHLO": b"500 x\r\n", b"HELO": b"550 no\r\n"}, None,
     "Z" + CONNECTED + "my name was rejected" + SAID + "550 no\n"),
    ({b"MAIL": b"550 no\r\n"}, None, "D" + CONNECTED + "sender was rejected" + SAID + "550 no\n"),
    ({b"MAIL": b"450 no\r\n"}, None, "Z" + CONNECTED + "sender was rejected" + SAID + "450 no\n"),
    ({b"MAIL": None}, None, "Z" + CONNECTED + "connection died. (#4.4.2)\n"),
    ({b"RCPT": b"550-no\r\n550 such\r\n"},
     "h127.0.0.1 does not like recipient.\nRemote host said: 550-no\n550 such\n",
     "DGiving up on 127.0.0.1.\n"),
    ({b"RCPT": b"451 grey\r\n"}, "s127.0.0.1 does not like recipient.\nRemote host said: 451 grey\n",
     "DGiving up on 127.0.0.1.\n"),
    ({b"RCPT": b"552 many\r\n"}, "s127.0.0.1 does not like recipient.\nRemote host said: 552 many\n",
     "DGiving up on 127.0.0.1.\n"),
    ({b"RCPT": b"421 bye\r\n"}, "s127.0.0.1 does not like recipient.\nRemote host said: 421 bye\n",
     "Z" + CONNECTED + "it is closing" + SAID + "421 bye\n"),
    ({b"DATA": b"554 no\r\n"}, "r", "D127.0.0.1 failed on DATA command" + SAID + "554 no\n"),
    ({b"DATA": b"451 no\r\n"}, "r", "Z127.0.0.1 failed on DATA command" + SAID + "451 no\n"),
    ({b"DATA": None}, "r", "Z" + CONNECTED + "connection died. (#4.4.2)\n"),
    ({b".": b"554 spam\r\n"}, "r", "D127.0.0.1 failed after I sent the message" + SAID + "554 spam\n"),
    ({b".": b"451 full\r\n"}, "r", "Z127.0.0.1 failed after I sent the message" + SAID + "451 full\n"),
    ({b".": None}, "r", "Z" + CONNECTED + "connection died. Possible duplicate! (#4.4.2)\n"),
])
def test_every_refusal_has_its_words(talk, replies, rcpt, want, pipelining):
    replies = dict(replies)
    if not pipelining:
        replies.setdefault(b"EHLO", PLAIN)
    rcpts, report, _ = talk(replies)
    assert report == want
    assert rcpts == ([rcpt] if rcpt else [])


@pytest.mark.parametrize("greeting", [b"554 go away\r\n", b"421 busy\r\n", b"250 odd\r\n"])
def test_refused_greeting_is_never_a_bounce(talk, greeting):
    _, report, _ = talk(greeting=greeting)
    assert report == "Z" + CONNECTED + "greeting failed" + SAID + greeting.decode().replace("\r", "")


@pytest.mark.parametrize("greeting", [
    b"hello\r\n", b"22\r\n", b"\r\n", b"920 x\r\n", b"2a0 x\r\n", b"\0\0\0\0\r\n",
    pytest.param(b"220" * 90000, id="long")])
def test_what_is_no_smtp_is_deferred(talk, greeting):
    _, report, _ = talk(greeting=greeting)
    assert report == "Z" + CONNECTED + "it does not speak SMTP. (#4.5.0)\n"


def test_closed_port_is_deferred(instance):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        instance.control("smtproutes", f":127.0.0.1:{sock.getsockname()[1]}\n")
        assert instance.remote() == ([], "ZSorry, I wasn't able to establish an SMTP "
                                         "connection. (#4.4.1)\n")


@pytest.mark.parametrize("replies, greeting, critical", [
    ({}, HOLD, False), ({b"MAIL": HOLD}, b"220 hi\r\n", False), ({b".": HOLD}, b"220 hi\r\n", True)])
def test_silent_server_is_left_in_time(instance, talk, replies, greeting, critical):
    instance.control("timeoutremote", "1\n")
    _, report, _ = talk(replies, greeting)
    duplicate = "Possible duplicate! " if critical else ""
    assert report == "Z" + CONNECTED + f"connection died. {duplicate}(#4.4.2)\n"


class Dripper(Server):
    def serve(self, sock):
        sock.sendall(b"220-")
        while True:
            sock.sendall(b"x")
            time.sleep(0.05)


def test_dripping_server_is_left_in_time(instance):
    """DO2: one byte now and then is no answer: the whole reply has its time."""
    instance.control("timeoutremote", "1\n")
    server = Dripper()
    instance.route(server)
    assert instance.remote()[1] == "Z" + CONNECTED + "connection died. (#4.4.2)\n"
    server.close()


def test_recipients_have_outcomes_of_their_own(talk):
    codes = {b"a@f": b"250 ok\r\n", b"b@f": b"550 no\r\n", b"c@f": b"451 wait\r\n"}
    rcpts, report, server = talk(
        {b"RCPT": lambda line: codes[line[9:-1]]}, to=["a@f", "b@f", "c@f"])
    assert [r[0] for r in rcpts] == ["r", "h", "s"]
    assert report[0] == "K"
    assert len(server.data) == 1


def test_lone_dot_when_all_were_refused_and_data_was_not(talk):
    _, report, server = talk({b"RCPT": b"550 no\r\n"})
    assert report == "DGiving up on 127.0.0.1.\n"
    assert server.data == [b".\r\n"]


def test_a_thousand_recipients_in_one_transaction(talk):
    to = [f"user{n}@far.test" for n in range(1000)]
    rcpts, report, server = talk(to=to)
    assert rcpts == ["r"] * 1000 and report[0] == "K"
    assert [c[9:-1].decode() for c in server.commands if c.startswith(b"RCPT")] == to


@pytest.mark.parametrize("sender, to, mail, rcpt", [
    ("", "a b@f", b"<>", b'<"a b"@f>'),
    ("x\"y@f", "a@f", b'<"x\\"y"@f>', b"<a@f>"),
    ("#@[]", "postmaster", b"<#@[]>", b"<postmaster>"),
])
def test_addresses_are_quoted_on_the_wire(talk, sender, to, mail, rcpt):
    _, _, server = talk({b"EHLO": PLAIN}, sender=sender, to=[to])
    assert b"RCPT TO:" + rcpt in server.commands
    if sender != "#@[]":
        assert b"MAIL FROM:" + mail in server.commands


def test_addresses_cannot_smuggle_commands(talk):
    rcpts, report, server = talk(to=["a@f>\r\nRCPT TO:<evil@f", "b@f"])
    assert [r[0] for r in rcpts] == ["h", "r"] and report[0] == "K"
    assert not any(b"evil" in c for c in server.commands)
    _, report, server = talk(sender="a@f\nDATA")
    assert report[0] == "D" and b"DATA" not in server.commands


def test_eight_bits_are_announced(talk):
    _, _, server = talk(message="Subject: x\n\nñ\n".encode())
    assert server.commands[1].endswith(b" BODY=8BITMIME SIZE=18")
    _, _, server = talk({b"EHLO": PLAIN}, message="Subject: x\n\nñ\n".encode())
    assert server.commands[1] == b"MAIL FROM:<s@me.test>"


def test_too_big_for_the_server_is_known_beforehand(talk):
    _, report, server = talk({b"EHLO": b"250-x\r\n250 SIZE 20\r\n"})
    assert report == "DConnected to 127.0.0.1 but it takes no message over 20 bytes. (#5.3.4)\n"
    assert len(server.commands) == 2


def test_smuggling_is_impossible(talk):
    """SM8, on the wire: no CR or LF alone, one CRLF.CRLF, leading dots doubled."""
    rnd = random.Random(1)
    seeds = [b"foo\r.\n", b"foo\r.\r\n", b"foo\r\n.\r\n", b"foo\n.\r\n", b"\r", b"\n", b"", b".",
             b"..", b"\r.\r\n", b"foo\r\r\n.\r\n", b"a\n\r.\r\nMAIL"]
    for _ in range(25):
        seeds.append(bytes(rnd.choice(b"\r\n.\0a") for _ in range(rnd.randrange(60))))
    seeds.append(bytes(rnd.choice(b"\r\n.\0a") for _ in range(40000)))
    for message in seeds:
        _, report, server = talk(message=message)
        assert report[0] == "K", (message, report)
        [data] = server.data
        assert data.endswith(b".\r\n")
        lines = data[:-3].split(b"\r\n")
        assert lines[-1] == b""
        assert (b"\r\n" + data).count(b"\r\n.\r\n") == 1
        for line in lines:
            assert b"\r" not in line and b"\n" not in line
            assert not line.startswith(b".") or line.startswith(b"..")
        back = [line[1:] if line.startswith(b".") else line for line in lines]
        want = message.replace(b"\r\n", b"\n")
        if want and not want.endswith(b"\n"):
            want += b"\n"
        assert b"\n".join(back) == want.replace(b"\r", b" "), message


@pytest.mark.parametrize("reply", [
    b"553-\r\n553\r\n", b"553\r\n", b"553-a\r\n553-b\r\n553 c\r\n", b"553 \0\x1b[2J\x07\r\n",
    pytest.param(b"553 " + b"x" * 200000 + b"\r\n", id="long line"),
    pytest.param(b"553-x\r\n" * 20000 + b"553 y\r\n", id="many lines"), b"553 a\n",
])
def test_remote_words_are_bounded_and_plain(talk, reply):
    """IN4: no reply, however malformed, gets more than text into a report."""
    _, report, _ = talk({b".": reply})
    assert report.startswith("D127.0.0.1 failed after I sent the message.\n")
    assert len(report) < 5200
    assert not any(c < " " and c not in "\n\t" for c in report)


# ---- routes ----

@pytest.mark.parametrize("routes, host, used", [
    ("far.test:[127.0.0.1]:PORT", "far.test", True),
    ("FAR.test:127.0.0.1:PORT", "far.TEST", True),
    ("far.test:localhost:PORT", "far.test", True),
    (".test:127.0.0.1:PORT", "a.b.test", True),
    (".test:127.0.0.1:PORT", "test", False),
    (":127.0.0.1:PORT", "any.where", True),
    ("far.test:\n:127.0.0.1:PORT", "far.test", False),
    ("b.test:127.0.0.1:PORT\n.test:127.0.0.1:1", "b.test", True),
    ("[10.1.2.3]:127.0.0.1:PORT", "[10.1.2.3]", True),
    ("[IPv6:2001:db8::1]:127.0.0.1:PORT", "[IPv6:2001:db8::1]", True),
    ("other.test:127.0.0.1:PORT", "far.test", False),
])
def test_routes(instance, routes, host, used):
    server = Server()
    instance.control("smtproutes", routes.replace("PORT", str(server.port)) + "\n")
    _, report = instance.remote(host=host)
    server.close()
    if used:
        assert report[0] == "K"
    else:
        assert report == f"ZDNS lookup of {host} failed temporarily. (#4.4.3)\n"


def test_unknown_relay_is_deferred(instance):
    instance.control("smtproutes", ":no-such-relay.invalid\n")
    assert instance.remote()[1] == ("ZDNS lookup of no-such-relay.invalid failed temporarily. "
                                    "(#4.4.3)\n")


@pytest.mark.parametrize("name, text", [("smtproutes", ":127.0.0.1:0\n"), ("timeoutremote", "x\n"),
                                        ("moreipme", "192.0.2.1\nhere\n"), ("notipme", "1.2.3\n"),
                                        ("me", "\n")])
def test_bad_settings_defer(instance, name, text):
    instance.control(name, text)
    assert instance.remote()[1] == "ZUnable to read control files. (#4.3.0)\n"


def test_own_address_as_a_literal_is_not_a_loop(instance):
    assert instance.remote(host="[127.0.0.1]")[1].startswith("DSorry. Although I'm listed")


def test_misuse(instance):
    done = subprocess.run([instance.home / "bin/qmail-remote", "x"], capture_output=True)
    assert done.stdout == b"DI (qmail-remote) was invoked improperly. (#5.3.5)\n\0"


# ---- qmail-rspawn ----

@pytest.fixture
def rspawn(instance):
    peer = jobs.Peer([instance.home / "bin/qmail-rspawn"])
    assert peer.hello() >= 1
    yield peer
    peer.process.kill()
    peer.process.communicate()
    peer.sock.close()


def rjob(number, recipients, message=MESSAGE, **kw):
    return jobs.job(number, message, b"s@me.test", recipients, host=b"far.test", **kw)


def test_rspawn_gives_each_recipient_his_outcome(instance, rspawn):
    codes = {b"a@f": b"250 ok\r\n", b"b@f": b"550 no\r\n", b"c@f": b"451 wait\r\n"}
    server = Server({b"RCPT": lambda line: codes[line[9:-1]]})
    instance.route(server)
    rspawn.send(*rjob(3, [(0, b"a@f"), (5, b"b@f"), (9, b"c@f")]))
    number, outcomes = rspawn.result()
    assert number == 3
    assert outcomes == {
        0: ("K", "127.0.0.1 accepted message.\nRemote host said: 250 taken\n"),
        5: ("D", "127.0.0.1 does not like recipient.\nRemote host said: 550 no\n"),
        9: ("Z", "127.0.0.1 does not like recipient.\nRemote host said: 451 wait\n")}
    server.close()


def test_rspawn_says_giving_up_after_the_recipients_words(instance, rspawn):
    server = Server({b"RCPT": b"550 no\r\n"})
    instance.route(server)
    rspawn.send(*rjob(1, [(0, b"a@f")]))
    assert rspawn.result()[1] == {0: ("D", "127.0.0.1 does not like recipient.\n"
                                           "Remote host said: 550 no\nGiving up on 127.0.0.1.\n")}
    server.close()


def test_rspawn_defers_a_thousand_with_long_words(instance, rspawn):
    server = Server({b"RCPT": b"451 " + b"w" * 900 + b"\r\n"})
    instance.route(server)
    rspawn.send(*rjob(1, [(n, b"user%d@f" % n) for n in range(1000)]))
    outcomes = rspawn.result()[1]
    assert len(outcomes) == 1000
    assert {letter for letter, _ in outcomes.values()} == {"Z"}
    server.close()


def test_rspawn_answers_for_many_in_one_packet(instance, rspawn):
    (instance.home / "bin/qmail-remote").unlink()
    rspawn.send(*rjob(1, [(n, b"") for n in range(6000)]))
    outcomes = rspawn.result()[1]
    assert {letter for letter, _ in outcomes.values()} == {"Z"} and len(outcomes) == 6000


def test_rspawn_large_message(instance, rspawn):
    server = Server({b"EHLO": PLAIN})
    instance.route(server)
    message = b"Subject: x\n\n" + b"y" * 70 + b"\n"
    message += (b"y" * 70 + b"\n") * 100000
    rspawn.send(*rjob(1, [(0, b"a@f")], message))
    assert rspawn.result()[1][0][0] == "K"
    assert server.data == [message.replace(b"\n", b"\r\n") + b".\r\n"]
    server.close()


def test_rspawn_without_its_worker_defers(instance, rspawn):
    (instance.home / "bin/qmail-remote").unlink()
    rspawn.send(*rjob(1, [(0, b"a@f"), (1, b"b@f")]))
    assert rspawn.result()[1] == {n: ("Z", "Unable to run qmail-remote.\n") for n in (0, 1)}
    (instance.home / "bin/qmail-remote").write_text("#!/bin/sh\nkill -9 $$\n")
    (instance.home / "bin/qmail-remote").chmod(0o755)
    rspawn.send(*rjob(2, [(0, b"a@f")]))
    assert rspawn.result()[1] == {0: ("Z", "qmail-remote crashed.\n")}


# ---- what else a client has to do ----

def limited(count, words=b"452 4.5.3 too many\r\n"):
    """A server that takes so many recipients a transaction."""
    seen = []

    def mail(line):
        seen.clear()
        return PLAIN

    def rcpt(line):
        seen.append(line)
        return PLAIN if len(seen) <= count else words
    return {b"MAIL": mail, b"RCPT": rcpt}


@pytest.mark.parametrize("words", [b"452 4.5.3 x\r\n", b"452 too many\r\n", b"552 5.5.3 x\r\n",
                                   b"452-4.5.3 x\r\n452 4.5.3 y\r\n"])
def test_too_many_recipients_are_several_transactions(talk, words):
    rcpts, report, server = talk(limited(2, words), to=["a@f", "b@f", "c@f", "d@f", "e@f"])
    assert rcpts == ["r"] * 5 and report[0] == "K"
    assert server.connections == 1
    assert server.data == [WIRE] * 3
    assert [c[9:-1] for c in server.commands if c.startswith(b"RCPT")] == [
        b"a@f", b"b@f", b"c@f", b"d@f", b"e@f", b"c@f", b"d@f", b"e@f", b"e@f"]


@pytest.mark.parametrize("words", [b"452 4.2.2 full\r\n", b"451 4.5.3 grey\r\n", b"450 later\r\n"])
def test_other_deferrals_are_not_tried_again(talk, words):
    rcpts, report, server = talk(limited(2, words), to=["a@f", "b@f", "c@f"])
    assert [r[0] for r in rcpts] == ["r", "r", "s"] and report[0] == "K"
    assert server.data == [WIRE]


def test_a_server_that_always_has_too_many(talk):
    """None is taken the second time: they wait."""
    first = []
    rcpts, report, server = talk(
        {b"RCPT": lambda line: first.append(1) or (PLAIN if len(first) == 1 else b"452 many\r\n")},
        to=["a@f", "b@f", "c@f"])
    assert [r[0] for r in rcpts] == ["r", "s", "s"] and report[0] == "K"
    assert rcpts[1] == "s127.0.0.1 does not like recipient.\nRemote host said: 452 many\n"
    assert server.data == [WIRE, b".\r\n"]


@pytest.mark.parametrize("verb, reply, letter, words", [
    (b".", b"554 spam\r\n", "h", "127.0.0.1 failed after I sent the message.\nRemote host said: 554 spam\n"),
    (b".", b"451 wait\r\n", "s", "127.0.0.1 failed after I sent the message.\nRemote host said: 451 wait\n"),
    (b".", None, "s", "Connected to 127.0.0.1 but connection died. Possible duplicate! (#4.4.2)\n"),
    (b"DATA", b"554 no\r\n", "h", "127.0.0.1 failed on DATA command.\nRemote host said: 554 no\n"),
    (b"MAIL", b"554 no\r\n", "s", "127.0.0.1 does not like recipient.\nRemote host said: 452 4.5.3 too many\n"),
    (b"MAIL", None, "s", "127.0.0.1 does not like recipient.\nRemote host said: 452 4.5.3 too many\n"),
])
def test_second_transaction_has_an_outcome_of_its_own(talk, verb, reply, letter, words):
    """Who was taken by the first one stays delivered."""
    replies = limited(1)
    first = replies.get(verb, {b".": b"250 taken\r\n", b"DATA": b"354 go\r\n"}.get(verb))
    count = []

    def answer(what):
        count.append(1)
        if len(count) > 1:
            return reply
        return first(what) if callable(first) else first

    replies[verb] = answer
    rcpts, report, server = talk(replies, to=["a@f", "b@f"])
    assert report == "K127.0.0.1 accepted message.\nRemote host said: 250 taken\n"
    assert rcpts == ["r", letter + words]


def test_pipelined_commands_come_in_groups(talk):
    """And one of them never goes beyond what a socket's buffer takes."""
    to = [f"{n:04}" + "x" * 500 + "@far.test" for n in range(100)]
    _, report, server = talk(to=to)
    assert report[0] == "K"
    assert max(len(w) for w in server.writes) <= 8192 + 600
    assert len(server.writes) < 20


def test_lines_of_any_length_go_out_as_they_are(talk):
    """Wrapping would break signatures; the server may refuse them."""
    message = b"Subject: x\n\n" + b"a" * 998 + b"\n" + b"b" * 999 + b"\n." + b"c" * 100000 + b"\n"
    _, report, server = talk(message=message)
    assert report[0] == "K"
    assert server.data == [message.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n") + b".\r\n"]


@pytest.mark.parametrize("verb", [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("reply", [b"what?\r\n", b"\r\n", b"2\r\n", b"250-x\r\nnonsense\r\n",
                                   pytest.param(b"250-x\r\n" * 40000, id="long")])
def test_garbage_at_every_stage_is_deferred(talk, verb, reply):
    _, report, server = talk({verb: reply})
    if verb == b"EHLO":  # once more, with HELO
        assert report[0] == "K" and server.connections == 2
        return
    assert report.startswith("Z" + CONNECTED + "it does not speak SMTP.")
    if verb == b".":
        assert "Possible duplicate! " in report


@pytest.mark.parametrize("verb", [b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("pipelining", [True, False])
def test_421_is_for_now_at_every_stage(talk, verb, pipelining):
    replies = {verb: b"421 shutting down\r\n"}
    if not pipelining:
        replies[b"EHLO"] = PLAIN
    _, report, server = talk(replies)
    assert report[0] == "Z" and report.endswith("Remote host said: 421 shutting down\n")
    assert server.connections == 1


@pytest.mark.parametrize("greeting, replies, failed", [
    (b"421 busy\r\n", {}, True),
    (b"554 no\r\n", {}, True),
    (b"hello\r\n", {}, True),
    (HOLD, {}, True),
    (None, {b"EHLO": b"550 no\r\n", b"HELO": b"550 no\r\n"}, True),
    (None, {b"MAIL": b"421 no\r\n"}, True),
    (None, {b"RCPT": b"421 no\r\n"}, True),
    (None, {b"DATA": b"421 no\r\n"}, True),
    (None, {b".": b"421 no\r\n"}, True),
    (None, {b".": HOLD}, True),
    (None, {b"MAIL": b"451 wait\r\n"}, False),
    (None, {b"RCPT": b"451 wait\r\n"}, False),
    (None, {b".": b"451 wait\r\n"}, False),
    (None, {b"MAIL": b"550 no\r\n"}, False),
    (None, {}, False)])
def test_rspawn_tells_when_the_next_hop_has_failed(instance, rspawn, greeting, replies, failed):
    instance.control("timeoutremote", "1\n")
    server = Server(replies, greeting or b"220 hi\r\n")
    instance.route(server)
    rspawn.send(*rjob(1, [(0, b"a@f")]))
    ((letter, _),) = rspawn.result()[1].values()
    assert rspawn.hop_failed == failed
    assert letter == "Z" or not failed
    server.close()


@pytest.mark.parametrize("route", [":127.0.0.1:1\n", ":nowhere.invalid\n"])
def test_rspawn_tells_when_there_is_no_next_hop(instance, rspawn, route):
    instance.control("smtproutes", route)
    rspawn.send(*rjob(1, [(0, b"a@f")]))
    assert rspawn.result()[1][0][0] == "Z" and rspawn.hop_failed


def test_rspawn_does_not_blame_the_next_hop_for_our_trouble(instance, rspawn):
    instance.control("smtproutes", "far.test:127.0.0.1:nonsense\n")
    rspawn.send(*rjob(1, [(0, b"a@f")]))
    assert rspawn.result()[1][0][0] == "Z" and not rspawn.hop_failed


def test_data_refused_after_good_recipients_is_theirs(instance, rspawn):
    server = Server({b"DATA": b"554 no\r\n",
                     b"RCPT": lambda line: b"451 wait\r\n" if b"b@f" in line else PLAIN})
    instance.route(server)
    rspawn.send(*rjob(1, [(0, b"a@f"), (1, b"b@f")]))
    assert {n: letter for n, (letter, _) in rspawn.result()[1].items()} == {0: "D", 1: "Z"}
    server.close()


UTF8 = "Subject: ñ\n\nx\n".encode()


@pytest.mark.parametrize("address, message, flag, has, want", [
    ("ñ@f", MESSAGE, True, True, "K"),
    ("ñ@f", MESSAGE, True, False, "D"),
    ("ñ@f", MESSAGE, False, False, "K"),   # as qmail: eight bits, just sent
    ("a@f", UTF8, True, True, "K"),
    ("a@f", UTF8, True, False, "D"),
    ("a@f", UTF8, False, False, "K"),
    ("a@f", MESSAGE, True, False, "K"),    # nothing in it needs it
])
def test_internationalized_mail(instance, rspawn, address, message, flag, has, want):
    server = Server({b"EHLO": b"250-fake\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n" if has else PLAIN})
    instance.route(server)
    rspawn.send(*rjob(1, [(0, address.encode())], message, smtputf8=flag))
    letter, text = rspawn.result()[1][0]
    assert letter == want
    if want == "D":
        assert text == "Connected to 127.0.0.1 but it takes no internationalized mail. (#5.6.7)\n"
    elif has:
        assert b" SMTPUTF8" in server.commands[1]
    server.close()


def test_body_parameter_of_the_job(instance, rspawn):
    server = Server()
    instance.route(server)
    rspawn.send(*rjob(1, [(0, b"a@f")], body=b"8BITMIME"))
    assert rspawn.result()[1][0][0] == "K"
    assert server.commands[1] == b"MAIL FROM:<s@me.test> BODY=8BITMIME SIZE=35"
    server.close()
