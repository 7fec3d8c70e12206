"""qmail-smtpd, driven through its descriptors.

Most sessions run over a SOCK_SEQPACKET pair: each write of either side is
one packet there, so a test sees how replies are grouped, and says exactly
where the client's bytes are cut. The queue is a stub behind QMAILQUEUE, or a
stand-in for qmail-queued that speaks doc/queue.md's protocol.
"""

import os
import pathlib
import random
import re
import resource
import select
import shutil
import signal
import smtplib
import socket
import struct
import subprocess
import threading
import time

import pytest

from waiting import wait_for

QUEUE = """#!/bin/sh
d=$QUEUE_DIR
cat >$d/tmp.$$ || exit 54
cat <&1 >$d/$$.env || exit 54
[ -s $d/$$.env ] || { rm $d/tmp.$$; exit 54; }
[ -z "$QUEUE_EXIT" ] || exit $QUEUE_EXIT
mv $d/tmp.$$ $d/$$.msg
"""


class Session:
    """One qmail-smtpd and its client's end of the connection."""

    def __init__(self, site, env=None, kind=socket.SOCK_SEQPACKET, **kw):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self.sock.settimeout(20)
        self.log_path = site.home / f"log.{time.monotonic_ns()}"
        environment = {**site.env, **(env or {})}
        with open(self.log_path, "wb") as log:
            kw.setdefault("stderr", log)
            self.proc = subprocess.Popen([site.home / "bin/qmail-smtpd"],
                                         stdin=theirs, stdout=theirs,
                                         env=environment, **kw)
        theirs.close()

    def recv(self):
        return self.sock.recv(1 << 20)

    def send(self, data):
        self.sock.send(data)

    def ask(self, data):
        """One packet out, one packet (all replies to it) back."""
        self.send(data)
        return self.recv()

    def rest(self):
        """What still comes until the server closes."""
        parts = []
        try:
            while part := self.recv():
                parts.append(part)
        except ConnectionResetError:
            pass  # it closed and left some of our bytes unread
        return b"".join(parts)

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server was first
        self.sock.close()
        code = self.proc.wait(20)
        return code, self.log_path.read_bytes()

    def __enter__(self):
        assert re.fullmatch(rb"220 [^\r\n]+ ESMTP\r\n", self.recv())
        return self

    def __exit__(self, *_):
        self.end()


class Site:
    """A home with control files and a queue that keeps what it gets."""

    def __init__(self, home, bin):
        self.home = home
        for name in "bin", "control", "users", "queue", "queue/socket", "got":
            (home / name).mkdir()
        shutil.copy(bin / "qmail-smtpd", home / "bin")
        (home / "queue.sh").write_text(QUEUE)
        (home / "queue.sh").chmod(0o755)
        self.env = {"QMAILQUEUE": str(home / "queue.sh"), "QUEUE_DIR": str(home / "got"),
                    "PATH": os.environ["PATH"], "QMAILHOME": str(home),
                    "TCPREMOTEIP": "192.0.2.1", "TCPLOCALIP": "192.0.2.25"}
        self.control("me", "mx.example.test\n")
        self.control("rcpthosts", "t\n.sub.t\n")

    def control(self, name, text):
        path = self.home / "control" / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(text.encode() if isinstance(text, str) else text)

    def session(self, env=None, **kw):
        return Session(self, env, **kw)

    def queued(self):
        """(message, sender, [recipients]) of all that was taken."""
        found = []
        for path in sorted((self.home / "got").glob("*.msg"), key=lambda p: p.stat().st_mtime_ns):
            env = path.with_suffix(".env").read_bytes()
            assert env[:1] == b"F" and env.endswith(b"\0\0")
            parts = env[:-2].split(b"\0")
            assert all(p[:1] == b"T" for p in parts[1:])
            found.append((path.read_bytes(), parts[0][1:], [p[1:] for p in parts[1:]]))
        return found


@pytest.fixture
def site(tmp_path, bin):
    return Site(tmp_path, bin)


EHLO = b"EHLO x\r\n"
ENVELOPE = b"MAIL FROM:<a@t>\r\nRCPT TO:<b@t>\r\nDATA\r\n"
REPLY_352 = b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go ahead\r\n"


def lines(reply):
    assert reply.endswith(b"\r\n")
    return reply[:-2].split(b"\r\n")


def code(reply):
    """The code of a reply; its lines must agree."""
    codes = {line[:3] for line in lines(reply)}
    assert len(codes) == 1
    return int(codes.pop())


# ---- the ordinary ----


def test_session_from_greeting_to_quit(site):
    with site.session() as s:
        assert lines(s.ask(EHLO)) == [
            b"250-mx.example.test", b"250-PIPELINING", b"250-SIZE 0",
            b"250-ENHANCEDSTATUSCODES", b"250 8BITMIME"]
        assert s.ask(b"MAIL FROM:<a@t> SIZE=10 BODY=8BITMIME\r\n") == b"250 2.1.0 ok\r\n"
        assert s.ask(b"RCPT TO:<b@t>\r\n") == b"250 2.1.5 ok\r\n"
        assert s.ask(b"RCPT TO:<c@x.sub.t>\r\n") == b"250 2.1.5 ok\r\n"
        assert s.ask(b"DATA\r\n") == b"354 go ahead\r\n"
        reply = s.ask(b"Subject: \xe1\r\n\r\n..dot\r\n...\r\nend\r\n.\r\n")
        assert re.fullmatch(rb"250 2\.0\.0 ok \d+ qp \d+ by mx\.example\.test\r\n", reply)
        assert s.ask(b"QUIT\r\n") == b"221 2.0.0 mx.example.test\r\n"
        assert s.rest() == b""
    ((message, sender, recipients),) = site.queued()
    head, body = message.split(b"\n", 2)[:2], message.split(b"\n", 2)[2]
    assert head[0] == b"Received: from unknown (HELO x) (192.0.2.1)"
    assert re.fullmatch(rb"  by 192\.0\.2\.25 with ESMTP; \d+ \w+ \d{4} \d\d:\d\d:\d\d -0000", head[1])
    assert body == b"Subject: \xe1\n\n.dot\n..\nend\n"
    assert (sender, recipients) == (b"a@t", [b"b@t", b"c@x.sub.t"])


def test_enhanced_codes_only_after_ehlo(site):
    with site.session() as s:
        assert s.ask(b"HELO x\r\n") == b"250 mx.example.test\r\n"
        assert s.ask(b"MAIL FROM:<a@t>\r\n") == b"250 ok\r\n"
        assert s.ask(b"RCPT TO:<a@elsewhere>\r\n") == (
            b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n")
        assert s.ask(b"RCPT TO:<b@t>\r\n") == b"250 ok\r\n"
        s.ask(b"DATA\r\n")
        assert re.fullmatch(rb"250 ok \d+ qp \d+ by mx\.example\.test\r\n", s.ask(b".\r\n"))
    assert b" with SMTP; " in site.queued()[0][0]


def test_received_names_the_client_as_tcpserver_does(site):
    env = {"TCPREMOTEHOST": "client.example", "TCPREMOTEINFO": "jo e", "TCPLOCALHOST": "here.example",
           "TCPREMOTEIP": "::ffff:192.0.2.9"}
    with site.session(env) as s:
        s.ask(b"HELO CLIENT.example\r\n")
        s.ask(ENVELOPE)
        s.ask(b".\r\n")
    message = site.queued()[0][0]
    assert message.startswith(b"Received: from client.example (jo?e@192.0.2.9)\n  by here.example with SMTP; ")


def test_pipelined_group_is_answered_in_one_write(site):
    with site.session() as s:
        assert code(s.ask(EHLO)) == 250
        assert s.ask(b"MAIL FROM:<a@t>\r\nRCPT TO:<no@where>\r\nRCPT TO:<b@t>\r\nDATA\r\n") == (
            b"250 2.1.0 ok\r\n553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts\r\n"
            b"250 2.1.5 ok\r\n354 go ahead\r\n")
        # The end of one message and all of the next, in one piece.
        got = s.ask(b"one\r\n.\r\n" + ENVELOPE)
        assert [l[:3] for l in lines(got)] == [b"250", b"250", b"250", b"354"]
        got = s.ask(b"two\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        assert [l[:3] for l in lines(got)] == [b"250", b"250", b"250", b"221"]
    assert [m.split(b"\n", 2)[2] for m, _, _ in site.queued()] == [b"one\n", b"two\n"]


def test_nagle_is_off(site):
    """Replies must not wait for acknowledgements."""
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    proc = subprocess.Popen([site.home / "bin/qmail-smtpd"], stdin=server, stdout=server,
                            stderr=subprocess.DEVNULL, env=site.env)
    client.recv(1000)
    assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for sock in client, server, listener:
        sock.close()
    proc.wait(10)


@pytest.mark.parametrize("command, want", [
    ("TURN", 502), ("SEND FROM:<a@t>", 502), ("SOML FROM:<a@t>", 502), ("SAML FROM:<a@t>", 502),
    ("EXPN list", 502), ("VRFY a", 252), ("HELP", 214), ("NOOP", 250), ("noop xx", 250),
    ("RSET", 250), ("AUTH PLAIN", 502), ("STARTTLS", 502), ("XYZ", 500), ("", 500),
    ("RCPT TO:<b@t>", 503), ("DATA", 503), ("MAIL", 501), ("MAIL TO:<a@t>", 501),
    ("MAIL FROM:<a@t> FOO=1", 555), ("MAIL FROM:<a@t", 501), ("MAIL FROM:<a@t>x", 501),
    ("MAIL FROM:<a@t> SIZE=x", 501), ("MAIL FROM:<a@t> BODY=9BIT", 501), ("MAIL FROM:<a@>", 501),
])
def test_single_commands(site, command, want):
    with site.session() as s:
        s.ask(EHLO)
        reply = s.ask(command.encode() + b"\r\n")
        assert code(reply) == want
        assert re.match(rb"\d{3} [245]\.\d\.\d ", reply)
        assert code(s.ask(b"NOOP\r\n")) == 250


@pytest.mark.parametrize("mail, sender", [
    (b"MAIL FROM:<>", b""), (b"mail from: <a@t>", b"a@t"), (b"MAIL FROM:a@t", b"a@t"),
    (b"MAIL FROM: a@t SIZE=3", b"a@t"), (b"MAIL FROM:<@x,@y:a@t>", b"a@t"),
    (b'MAIL FROM:<"a b"@t>', b"a b@t"), (b'MAIL FROM:<"a\\"\\\\"@t>', b'a"\\@t'),
    (b"MAIL FROM:<nodomain>", b"nodomain"), (b"MAIL FROM:<a%b@t>", b"a%b@t"),
    (b"MAIL FROM:<a@[192.0.2.77]>", b"a@[192.0.2.77]"),
])
def test_senders_as_they_are_written(site, mail, sender):
    with site.session() as s:
        s.ask(mail + b"\r\nRCPT TO:<Postmaster>\r\nDATA\r\n")
        assert s.ask(b".\r\n").startswith(b"250 ")
    assert site.queued()[0][1:] == (sender, [b"Postmaster"])


def test_one_mail_at_a_time(site):
    with site.session() as s:
        s.ask(EHLO)
        s.ask(b"MAIL FROM:<a@t>\r\n")
        assert code(s.ask(b"MAIL FROM:<b@t>\r\n")) == 503
        assert code(s.ask(b"RSET\r\n")) == 250
        assert code(s.ask(b"MAIL FROM:<b@t>\r\n")) == 250
        s.ask(EHLO)
        assert code(s.ask(b"RCPT TO:<b@t>\r\n")) == 503


def test_strictsmtp_wants_what_the_rfc_wants(site):
    site.control("strictsmtp", "1\n")
    with site.session() as s:
        assert code(s.ask(b"MAIL FROM:<a@t>\r\n")) == 503
        assert code(s.ask(b"EHLO\r\n")) == 501
        s.ask(EHLO)
        assert code(s.ask(b"MAIL FROM:a@t\r\n")) == 501
        assert code(s.ask(b"MAIL FROM: <a@t>\r\n")) == 501
        assert code(s.ask(b"MAIL FROM:<a@t>\r\n")) == 250
        assert code(s.ask(b"RCPT TO:<b@t>\n")) == 554
        assert s.rest() == b""


def test_commands_may_end_in_a_bare_lf(site):
    with site.session() as s:
        assert s.ask(b"EHLO x\nMAIL FROM:<a@t>\nRCPT TO:<b@t>\nDATA\n").endswith(REPLY_352)
        assert code(s.ask(b"ok\r\n.\r\n")) == 250


# ---- who may send to whom ----


def test_no_rcpthosts_refuses_every_recipient(site):
    site.control("rcpthosts", None)
    with site.session() as s:
        for address in b"b@t", b"postmaster", b"b@mx.example.test":
            s.ask(b"RSET\r\n")
            s.ask(b"MAIL FROM:<a@t>\r\n")
            assert code(s.ask(b"RCPT TO:<" + address + b">\r\n")) == 553


def test_relayclient_takes_all_and_appends_its_suffix(site):
    for rcpthosts in None, "t\n":
        site.control("rcpthosts", rcpthosts)
        with site.session({"RELAYCLIENT": "@gw"}) as s:
            s.ask(b"MAIL FROM:<a@t>\r\nRCPT TO:<b@far.example>\r\nDATA\r\n")
            s.ask(b".\r\n")
        assert site.queued()[-1][2] == [b"b@far.example@gw"]
    with site.session({"RELAYCLIENT": ""}) as s:
        s.ask(b"MAIL FROM:<a@t>\r\nRCPT TO:<b@far.example>\r\nDATA\r\n")
        s.ask(b".\r\n")
    assert site.queued()[-1][2] == [b"b@far.example"]


def test_rcpthosts_lists_domains_and_what_is_below(site):
    with site.session() as s:
        s.ask(b"MAIL FROM:<a@t>\r\n")
        for address, want in [
                (b"b@T", 250), (b"b@x.t", 553), (b"b@a.b.SUB.t", 250), (b"b@sub.t", 553),
                (b"b@xsub.t", 553), (b"b@far@t", 250), (b'"b@far"@t', 250), (b"b@t@far", 553),
                (b"b%far@t", 250), (b"@t:b@far", 553), (b"@far:b@t", 250)]:
            assert code(s.ask(b"RCPT TO:<" + address + b">\r\n")) == want, address


def cdb(records):
    """A constant database, from the format's description."""
    def h(key):
        value = 5381
        for byte in key:
            value = ((value << 5) + value ^ byte) & 0xffffffff
        return value
    body, places = b"", []
    for key, data in records:
        places.append((h(key), 2048 + len(body)))
        body += struct.pack("<LL", len(key), len(data)) + key + data
    head, tables, at = b"", b"", 2048 + len(body)
    for number in range(256):
        mine = [p for p in places if p[0] % 256 == number]
        slots = [(0, 0)] * (2 * len(mine))
        for value, place in mine:
            i = (value >> 8) % len(slots)
            while slots[i][1]:
                i = (i + 1) % len(slots)
            slots[i] = (value, place)
        head += struct.pack("<LL", at + len(tables), len(slots))
        tables += b"".join(struct.pack("<LL", *slot) for slot in slots)
    return head + body + tables


def test_morercpthosts_adds_domains(site):
    site.control("morercpthosts.cdb", cdb([(b"more.example", b""), (b".wide.example", b"")]))
    for rcpthosts in "t\n", None:
        site.control("rcpthosts", rcpthosts)
        with site.session() as s:
            s.ask(b"MAIL FROM:<a@t>\r\n")
            assert code(s.ask(b"RCPT TO:<b@More.example>\r\n")) == 250
            assert code(s.ask(b"RCPT TO:<b@x.wide.example>\r\n")) == 250
            assert code(s.ask(b"RCPT TO:<b@wide.example>\r\n")) == 553


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 2048, b"\xff" * 5000])
def test_im8_corrupt_morercpthosts_is_a_temporary_failure(site, content):
    """IM8: never a crash, never "not found"."""
    site.control("morercpthosts.cdb", content)
    s = site.session()
    first = s.rest() if content != b"" else s.recv()
    assert first.startswith(b"421 unable to read controls")
    assert s.end()[0] == 111


def test_morercpthosts_damaged_inside_defers_the_recipient(site):
    """IM8, where only the lookup can see it."""
    good = bytearray(cdb([(b"more.example", b"")]))
    at = 2048
    good[at:at + 4] = b"\xff\xff\xff\x7f"
    site.control("morercpthosts.cdb", bytes(good))
    s = site.session()
    greeting = s.recv()
    if greeting.startswith(b"220"):
        s.ask(b"MAIL FROM:<a@t>\r\n")
        assert code(s.ask(b"RCPT TO:<b@more.example>\r\n")) == 451
        assert code(s.ask(b"RCPT TO:<b@t>\r\n")) == 250
    else:
        assert greeting.startswith(b"421 ")
    s.end()


def test_badmailfrom_refuses_senders_and_their_domains(site):
    site.control("badmailfrom", "spam@Bad.example\n@worse.example\n")
    with site.session() as s:
        for sender, want in [(b"SPAM@bad.example", 553), (b"x@worse.EXAMPLE", 553),
                             (b"x@bad.example", 250), (b"", 250)]:
            s.ask(b"RSET\r\n")
            assert code(s.ask(b"MAIL FROM:<" + sender + b">\r\n")) == 250
            assert code(s.ask(b"RCPT TO:<b@t>\r\n")) == want, sender


def test_localiphost_replaces_our_own_address(site):
    site.control("rcpthosts", "named.example\n")
    site.control("localiphost", "named.example\n")
    with site.session() as s:
        s.ask(b"MAIL FROM:<a@t>\r\n")
        assert code(s.ask(b"RCPT TO:<b@[192.0.2.25]>\r\n")) == 250
        assert code(s.ask(b"RCPT TO:<c@[127.0.0.1]>\r\n")) == 250
        assert code(s.ask(b"RCPT TO:<d@[192.0.2.26]>\r\n")) == 553
        s.ask(b"DATA\r\n")
        s.ask(b".\r\n")
    assert site.queued()[0][2] == [b"b@named.example", b"c@named.example"]


def test_8bit_addresses_are_refused_while_smtputf8_is_not_offered(site):
    with site.session() as s:
        s.ask(EHLO)
        assert s.ask("MAIL FROM:<jos\u00e9@t>\r\n".encode()).startswith(b"553 5.6.7 ")


# ---- controls that fail ----


@pytest.mark.parametrize("name", ["me", "smtpgreeting", "rcpthosts", "badmailfrom", "databytes",
                                  "timeoutsmtpd", "localiphost", "strictsmtp", "maxrcpt",
                                  "morercpthosts.cdb"])
def test_an_unreadable_control_file_is_never_a_default(site, name):
    site.control(name, None)
    (site.home / "control" / name).mkdir()
    s = site.session()
    assert s.recv() == b"421 unable to read controls (#4.3.0)\r\n"
    assert s.rest() == b""
    status, log = s.end()
    assert status == 111
    assert log.startswith(b"qmail-smtpd: unable to read ") and log.count(b"\n") == 1


@pytest.mark.parametrize("name, env", [("databytes", None), ("timeoutsmtpd", None), ("maxrcpt", None),
                                       (None, {"DATABYTES": "12x"})])
def test_a_number_that_is_none_is_a_temporary_failure(site, name, env):
    if name:
        site.control(name, "12x\n")
    s = site.session(env)
    assert s.recv().startswith(b"421 ")
    assert s.end()[0] == 111


def test_without_any_name_there_is_no_greeting(site):
    site.control("me", None)
    s = site.session()
    assert s.recv().startswith(b"421 ")
    s.end()
    site.control("smtpgreeting", "greet.example hello\n")
    with site.session() as s:
        assert b"greet.example hello" in s.ask(EHLO)


# ---- limits ----


def test_databytes_refuses_by_size_and_on_the_fly(site):
    site.control("databytes", "100\n")
    with site.session() as s:
        assert b"250-SIZE 100\r\n" in s.ask(EHLO)
        assert s.ask(b"MAIL FROM:<a@t> SIZE=101\r\n").startswith(b"552 5.3.4 ")
        assert s.ask(b"MAIL FROM:<a@t> SIZE=99999999999999999999\r\n").startswith(b"552 ")
        s.ask(ENVELOPE)
        for _ in range(5):
            s.send(b"x" * 60 + b"\r\n")
        assert s.ask(b".\r\n").startswith(b"552 5.3.4 ")
        assert s.ask(ENVELOPE) == REPLY_352
        assert code(s.ask(b"x" * 99 + b"\r\n.\r\n")) == 250
    assert len(site.queued()) == 1
    with site.session({"DATABYTES": "0"}) as s:
        assert b"250-SIZE 0\r\n" in s.ask(EHLO)


@pytest.mark.parametrize("field", [b"Received: x\r\n", b"delivered-to: x\r\n"])
def test_a_hundred_hops_are_a_loop(site, field):
    with site.session() as s:
        s.ask(EHLO)
        for count, want in (99, b"250 "), (100, b"554 5.4.6 "):
            s.ask(ENVELOPE)
            assert s.ask(field * count + b"\r\nReceived: body\r\n.\r\n").startswith(want)
    assert len(site.queued()) == 1


def test_a_thousand_recipients_and_maxrcpt(site):
    def rcpt(n):
        return b"".join(b"RCPT TO:<user%d@t>\r\n" % i for i in range(n))
    with site.session(kind=socket.SOCK_STREAM) as s:
        file = s.sock.makefile("rb")
        s.sock.sendall(b"MAIL FROM:<a@t>\r\n" + rcpt(1500))
        assert all(file.readline() == b"250 ok\r\n" for _ in range(1501))
        s.sock.sendall(b"DATA\r\n.\r\n")
        assert file.readline().startswith(b"354") and file.readline().startswith(b"250")
    assert site.queued()[0][2] == [b"user%d@t" % i for i in range(1500)]
    site.control("maxrcpt", "3\n")
    with site.session() as s:
        got = lines(s.ask(EHLO + b"MAIL FROM:<a@t>\r\n" + rcpt(5)))[-5:]
        assert [l[:9] for l in got] == [b"250 2.1.5"] * 3 + [b"452 4.5.3"] * 2


def test_recipients_are_bounded_by_memory(site):
    with site.session({"RELAYCLIENT": ""}, kind=socket.SOCK_STREAM) as s:
        file = s.sock.makefile("rb")
        s.sock.sendall(EHLO + b"MAIL FROM:<a@t>\r\n")
        for _ in range(6):
            file.readline()
        for i in range(5000):
            s.sock.sendall(b"RCPT TO:<" + b"x" * 990 + b"@t>\r\n")
            if (line := file.readline()).startswith(b"452 4.5.3"):
                break
            assert line.startswith(b"250")
        assert 4000 < i < 4500


@pytest.mark.parametrize("length", [998, 10000, 300000])
def test_long_lines_pass(site, length):
    body = b"y" * length
    with site.session(kind=socket.SOCK_STREAM) as s:
        file = s.sock.makefile("rb")
        s.sock.sendall(ENVELOPE)
        for _ in range(3):
            file.readline()
        s.sock.sendall(body + b"\r\n.\r\n")
        assert file.readline().startswith(b"250 ")
    assert site.queued()[0][0].endswith(b"-0000\n" + body + b"\n")


def test_random_messages_arrive_as_a_model_reads_them(site):
    """8-bit text, dots, empty lines, empty messages, in pieces of any size."""
    rng = random.Random(5)
    with site.session() as s:
        s.ask(EHLO)
        for _ in range(25):
            text = [bytes(rng.choice(b".a\xff \t") for _ in range(rng.choice([0, 1, 2, 70])))
                    for _ in range(rng.randrange(12))]
            wire = b"".join((b"." + l if l[:1] == b"." else l) + b"\r\n" for l in text) + b".\r\n"
            assert s.ask(ENVELOPE) == REPLY_352
            at = 0
            while at < len(wire):
                n = rng.choice([1, 2, 3, 50, 5000])
                s.send(wire[at:at + n])
                at += n
            assert s.recv().startswith(b"250 ")
            message = site.queued()[-1][0]
            assert message.split(b"\n", 2)[2] == b"".join(l + b"\n" for l in text)


def test_do2_timeout_is_said(site):
    site.control("timeoutsmtpd", "1\n")
    with site.session() as s:
        s.ask(EHLO)
        assert s.recv() == b"421 4.4.2 timeout\r\n"
        assert s.rest() == b""
        assert b"closed: timeout" in s.end()[1]


def drip(s, data):
    """A byte every 0.2 s until the server says something."""
    for byte in data:
        s.send(bytes([byte]))
        if select.select([s.sock], [], [], 0.2)[0]:
            return s.recv()
    raise AssertionError("dripping was never punished")


@pytest.mark.parametrize("in_data", [False, True])
def test_do2_dripping_loses(site, in_data):
    """DO2: the limit is for a whole command, and for a message's rate."""
    site.control("timeoutsmtpd", "1\n")
    with site.session() as s:
        if in_data:
            s.ask(ENVELOPE)
        start = time.monotonic()
        assert drip(s, b"N" * 100).startswith(b"421 ")
        assert time.monotonic() - start < 5
    assert site.queued() == []


# ---- framing ----

SMUGGLE = {
    "SM1": b"\n.\n", "SM2": b"\n.\r\n", "SM3": b"\r\n.\n",
    "SM4a": b"\r.\r\n", "SM4b": b"\r.\r", "SM4c": b"\n.\r", "SM4d": b"\r.\n",
    "SM5": b"\r\n.\r\r\n", "SM6": b"\r\r\n.\r\n",
    "SM7a": b"\r\n\0.\r\n", "SM7b": b"\r\n.\0\r\n",
}
EVIL = b"MAIL FROM:<evil@x>\r\nRCPT TO:<b@t>\r\nDATA\r\nSubject: evil\r\n\r\nx\r\n.\r\n"


@pytest.mark.parametrize("name", SMUGGLE)
def test_sm1_to_sm7_no_spelling_but_crlf_ends_a_message(site, name):
    """SM1-SM7: one refusal, 550 5.5.2, the session ends, nothing is queued;
    also with the bytes cut at each place of the sequence (SM10)."""
    start = b"Subject: t\r\n\r\nfoo"
    seq = SMUGGLE[name]
    whole = start + seq + EVIL
    for cut in range(len(start), len(start) + len(seq) + 1):
        with site.session() as s:
            s.ask(EHLO)
            assert s.ask(ENVELOPE) == REPLY_352
            s.send(whole[:cut])
            s.send(whole[cut:])
            assert re.fullmatch(rb"550 5\.5\.2 [^\r\n]+\r\n", s.rest()), (name, cut)
            code, log = s.end()
            assert code == 0 and b"refused message, closed:" in log
    assert site.queued() == []


def test_sm1_to_sm7_byte_by_byte(site):
    for seq in SMUGGLE.values():
        with site.session() as s:
            s.ask(EHLO)
            s.ask(ENVELOPE)
            try:
                for byte in b"foo" + seq + EVIL:
                    s.send(bytes([byte]))
            except BrokenPipeError:
                pass  # SM6 ends early
            assert s.rest().startswith(b"550 5.5.2 ")
    assert site.queued() == []


def test_sm10_bytes_behind_an_accepted_data_are_the_message(site):
    with site.session() as s:
        s.ask(EHLO)
        got = s.ask(ENVELOPE + b"RCPT TO:<c@t>\r\nQUIT\r\n.\r\nNOOP\r\n")
        assert [l[:3] for l in lines(got)] == [b"250", b"250", b"354", b"250", b"250"]
    message, _, recipients = site.queued()[0]
    assert message.endswith(b"\nRCPT TO:<c@t>\nQUIT\n") and recipients == [b"b@t"]


@pytest.mark.parametrize("before, want", [
    (b"", b"503"), (b"MAIL FROM:<a@t>\r\n", b"503"),
    (b"MAIL FROM:<a@t>\r\nRCPT TO:<x@far>\r\n", b"554")])
def test_sm10_bytes_behind_a_refused_data_are_no_commands(site, before, want):
    with site.session() as s:
        s.ask(EHLO)
        got = s.ask(before + b"DATA\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<b@t>\r\nDATA\r\n.\r\n")
        assert lines(got)[-1].startswith(want)
        assert s.rest() == b""
    assert site.queued() == []


def test_a_client_that_waits_goes_on_after_a_refused_data(site):
    with site.session() as s:
        s.ask(EHLO)
        s.ask(b"MAIL FROM:<a@t>\r\nRCPT TO:<x@far>\r\n")
        assert code(s.ask(b"DATA\r\n")) == 554
        assert code(s.ask(b"RSET\r\n")) == 250
        assert s.ask(ENVELOPE) == REPLY_352


def test_a_header_where_commands_belong_ends_the_session(site):
    with site.session() as s:
        s.ask(EHLO)
        s.ask(b"DATA\r\n")
        assert code(s.ask(b"Subject: x\r\n")) == 554
        assert s.rest() == b""


def test_im5_no_state_is_left_after_a_refused_message(site):
    """IM5: BDAT, then DATA; a message refused at its end, then RCPT."""
    site.control("databytes", "5\n")
    with site.session() as s:
        s.ask(EHLO)
        assert code(s.ask(b"BDAT bad\r\n")) == 502
        assert code(s.ask(b"DATA\r\n")) == 503
        s.ask(ENVELOPE)
        assert code(s.ask(b"too long\r\n.\r\n")) == 552
        assert code(s.ask(b"RCPT TO:<b@t>\r\n")) == 503
        assert code(s.ask(b"DATA\r\n")) == 503
    assert site.queued() == []


# ---- strangers ----


def test_the_last_reply_is_not_lost_to_a_reset(site):
    """Over TCP, with more of the client's bytes under way than are read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(20):
            client = socket.create_connection(listener.getsockname(), timeout=20)
            server, _ = listener.accept()
            proc = subprocess.Popen([site.home / "bin/qmail-smtpd"], stdin=server, stdout=server,
                                    stderr=subprocess.DEVNULL, env=site.env)
            server.close()
            file = client.makefile("rb")
            file.readline()
            client.sendall(b"POST / HTTP/1.1\r\n" + b"Host: x\r\n" * 20000)
            assert file.readline().startswith(b"554 ") and file.readline() == b""
            file.close()
            client.close()
            assert proc.wait(10) == 0


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\nHost: x\r\n\r\nQUIT\r\n", b"GET / HTTP/1.0\r\n",
                                  b"OPTIONS * HTTP/1.1\r\n"])
def test_al1_http_gets_one_reply(site, line):
    with site.session() as s:
        s.send(line)
        assert re.fullmatch(rb"554 [^\r\n]+\r\n", s.rest())


def test_al3_ten_errors_in_a_row_end_the_session(site):
    with site.session() as s:
        s.ask(EHLO)
        for _ in range(9):
            assert code(s.ask(b"<script>\r\n")) == 500
        assert s.ask(b"x\r\n").startswith(b"421 4.7.0 ")
        assert s.rest() == b""


def test_im2_a_command_without_end_takes_no_memory(site):
    """IM2: megabytes without LF, then 500, and the session goes on."""
    with site.session(kind=socket.SOCK_STREAM) as s:
        for _ in range(64):
            s.sock.sendall(b"A" * (1 << 20))
        status = pathlib.Path(f"/proc/{s.proc.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 8192
        s.sock.sendall(b"\r\nNOOP\r\n")
        file = s.sock.makefile("rb")
        assert file.readline() == b"500 line too long (#5.5.2)\r\n"
        assert file.readline() == b"250 ok\r\n"


def test_command_lines_of_4096_bytes_pass_and_longer_ones_do_not(site):
    with site.session() as s:
        assert code(s.ask(b"NOOP " + b"x" * 4000 + b"\r\n")) == 250
        assert code(s.ask(b"NOOP " + b"x" * 5000 + b"\r\n")) == 500
        assert code(s.ask(b"NOOP\r\n")) == 250


@pytest.mark.parametrize("line", [b"MAIL FROM:<a\0b@t>", b"MAIL\rFROM:<a@t>", b"EHLO x\0y", b"\0"])
def test_nul_and_bare_cr_in_commands_are_refused(site, line):
    with site.session() as s:
        s.ask(EHLO)
        assert code(s.ask(line + b"\r\n")) in (500, 501)
        assert code(s.ask(b"NOOP\r\n")) == 250


def test_in1_no_byte_in_an_address_reaches_a_shell(site):
    """IN1: every byte in the local part, with all kinds of domains; what is
    accepted is stored byte for byte."""
    expected = []
    with site.session({"RELAYCLIENT": ""}) as s:
        s.ask(EHLO)
        for byte in set(range(256)) - {10}:
            for domain in b"", b"@", b"@t", b"@[x", b"@a b":
                local = b";touch$x;" + bytes([byte]) + b"/tmp/p;"
                reply = s.ask(b"MAIL FROM:<" + local + domain + b">\r\n")
                assert code(reply) in (250, 500, 501, 553)
                plain = 32 < byte < 127 and bytes([byte]) not in b'<>"\\@'
                if plain and domain == b"@t":
                    assert code(reply) == 250, byte
                if code(reply) == 250 and domain == b"@t" and byte % 16 == 0:
                    expected.append(local + domain)
                    s.ask(b"RCPT TO:<" + local + domain + b">\r\n")
                    s.ask(b"DATA\r\n")
                    s.ask(b".\r\n")
                s.ask(b"RSET\r\n")
                assert code(s.ask(b"MAIL FROM:<>\r\n")) == 250
                s.ask(b"RSET\r\n")
    assert [(m[1], m[2]) for m in site.queued()] == [(e, [e]) for e in expected]


@pytest.mark.parametrize("command", [b"MAIL FROM:<a@b> AUTH=x+0Ay", b"MAIL FROM:<a@b> ENVID=+00",
                                     b"MAIL FROM:<a@t>\r\nRCPT TO:<b@t> ORCPT=rfc822;a+0Ab"])
def test_in3_parameters_nobody_offered_are_refused(site, command):
    with site.session() as s:
        s.ask(EHLO)
        assert lines(s.ask(command + b"\r\n"))[-1].startswith(b"555 5.5.4")


def test_in6_log_lines_cannot_be_forged(site):
    with site.session() as s:
        s.ask(b"HELO a\x1b[31m\xff\r\n")
        s.ask(b"MAIL FROM:<x\x1b\x7f@t>\r\n")
        s.ask(b"MAIL FROM:<a@t>\r\n")
        s.ask(b"RCPT TO:<b\\\\x0a2026@far.example>\r\n")
        s.ask(b"POST / \xff\x0b\r\n")
        status, log = s.end()
    assert all(re.fullmatch(rb"qmail-smtpd: \d+ 192\.0\.2\.1 [ -~]+", l) for l in log.splitlines())
    assert rb"\xff\x0b" in log and len(log.splitlines()) == 3


def test_refusals_and_acceptances_are_logged(site):
    with site.session() as s:
        s.ask(b"EHLO x\r\nMAIL FROM:<a@t>\r\nRCPT TO:<no@far>\r\nRCPT TO:<b@t>\r\nDATA\r\n")
        s.ask(b"hi\r\n.\r\n")
        _, log = s.end()
    refused, accepted = log.decode().splitlines()
    assert refused.endswith("refused recipient: not in rcpthosts: no@far")
    assert re.search(r"accepted message: qp \d+ bytes 3 recipients 1 from <a@t>$", accepted)


def hostile(**kw):
    def prepare():
        for sig in signal.SIGALRM, signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE:
            signal.signal(sig, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGALRM])
        os.umask(kw.get("umask", 0o777))
        if "fsize" in kw:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        if "nofile" in kw:
            resource.setrlimit(resource.RLIMIT_NOFILE, (kw["nofile"],) * 2)
        for fd in kw.get("close", ()):
            os.close(fd)
    return prepare


@pytest.mark.parametrize("how", [dict(), dict(fsize=0), dict(close=[2])], ids=str)
def test_fp4_a_hostile_invoker_changes_nothing(site, how):
    """FP4: signals ignored and blocked, odd umask, limits, closed fd 2."""
    queue = Queued(site, finish=record(17, struct.pack("<Q", 5)))
    del site.env["QMAILQUEUE"]
    with site.session(preexec_fn=hostile(umask=0o22, **how)) as s:
        s.ask(EHLO)
        assert s.ask(ENVELOPE) == REPLY_352
        assert code(s.ask(b"hi\r\n.\r\n")) == 250
    queue.join(10)
    assert b"".join(v for k, v in queue.records if k == 2).endswith(b"\nhi\n")


def test_fp4_a_queue_that_may_write_nothing_is_temporary(site):
    with site.session(preexec_fn=hostile(fsize=0)) as s:
        s.ask(EHLO)
        s.ask(ENVELOPE)
        assert s.ask(b"hi\r\n.\r\n").startswith(b"451 4.")
    assert site.queued() == []


def test_fp4_no_descriptors_is_a_temporary_failure(site):
    if b"__asan" in (site.home / "bin/qmail-smtpd").read_bytes():
        pytest.skip("sanitizer builds need libraries")
    s = site.session(preexec_fn=hostile(nofile=3))
    assert s.recv().startswith(b"421 ")
    assert s.end()[0] == 111


@pytest.mark.parametrize("closed", [[0], [1], [0, 1, 2]], ids=str)
def test_fp4_closed_descriptors_do_not_become_files(site, closed):
    s = site.session(preexec_fn=hostile(close=closed))
    assert s.end()[0] in (0, 111)
    assert site.queued() == []


# ---- the queue behind it ----


@pytest.mark.parametrize("status, want", [
    ("31", b"554 5."), ("53", b"451 4.3.0"), ("71", b"451 4."), ("91", b"451 4."), ("99", b"451 4."),
    ("11", b"554 5.")])
def test_what_qmail_queue_exits_with_is_answered(site, status, want):
    with site.session({"QUEUE_EXIT": status}) as s:
        s.ask(EHLO)
        s.ask(ENVELOPE)
        reply = s.ask(b"hi\r\n.\r\n")
        assert reply.startswith(want) and b"(#" not in reply
        assert code(s.ask(b"NOOP\r\n")) == 250
    assert site.queued() == []


def test_a_queue_program_that_cannot_run_is_temporary(site):
    with site.session({"QMAILQUEUE": "/nonexistent/queue"}) as s:
        s.ask(EHLO)
        last = lines(s.ask(ENVELOPE))[-1]
        if last.startswith(b"354"):
            last = s.ask(b"hi\r\n.\r\n")
        assert last.startswith(b"451 4.3.0 ")


def record(type, value=b""):
    return struct.pack("<QQ", type, len(value)) + value


class Queued(threading.Thread):
    """A stand-in for qmail-queued: answers one client as it is told."""

    def __init__(self, site, refuse_first=None, finish=None):
        super().__init__(daemon=True)
        self.refuse_first, self.finish = refuse_first, finish
        self.records = []
        self.listener = socket.socket(socket.AF_UNIX)
        # Long temporary paths do not fit into a socket's address.
        here = os.open(site.home / "queue/socket", os.O_PATH)
        self.listener.bind(f"/proc/self/fd/{here}/enqueue")
        os.close(here)
        os.chmod(site.home / "queue/socket/enqueue", 0o666)
        self.listener.listen()
        self.start()

    def run(self):
        conn, _ = self.listener.accept()
        data = b""

        def read():
            nonlocal data
            while len(data) < 16 or len(data) < 16 + struct.unpack_from("<Q", data, 8)[0]:
                part = conn.recv(65536)
                if not part:
                    return None
                data += part
            kind, length = struct.unpack_from("<QQ", data)
            value, data = data[16:16 + length], data[16 + length:]
            return kind, value

        assert read() == (1, b"valija-enqueue 1")
        if self.refuse_first:
            conn.sendall(record(18, self.refuse_first))
            conn.close()
            return
        conn.sendall(record(16))
        while (got := read()) and got[0] != 4:
            self.records.append(got)
        if got and self.finish:
            conn.sendall(self.finish)
        conn.close()


def test_the_queue_is_spoken_to_without_a_process(site):
    queue = Queued(site, finish=record(17, struct.pack("<Q", 1795340462000001)))
    del site.env["QMAILQUEUE"]
    with site.session() as s:
        s.ask(EHLO)
        s.ask(b"MAIL FROM:<a@t> BODY=8BITMIME\r\nRCPT TO:<b@t>\r\nRCPT TO:<c@t>\r\nDATA\r\n")
        assert b" qp 1795340462000001 by " in s.ask(b"hi\r\n.\r\n")
    queue.join(10)
    message = b"".join(v for k, v in queue.records if k == 2)
    envelope, found = b"".join(v for k, v in queue.records if k == 3), []
    while envelope:
        kind, length = struct.unpack_from("<QQ", envelope)
        found.append((kind, envelope[16:16 + length]))
        envelope = envelope[16 + length:]
    assert message.endswith(b"-0000\nhi\n")
    assert found[0] == (1, b"a@t") and (4, b"8BITMIME") in found
    assert [v for k, v in found if k == 16] == [b"Wb@t", b"Wc@t"]


@pytest.mark.parametrize("number, want", [(53, b"451 4.3.0"), (71, b"451 4."), (31, b"554 5.")])
def test_a_queue_that_refuses_does_so_before_354(site, number, want):
    """A full queue costs the client no message sent in vain."""
    Queued(site, refuse_first=struct.pack("<Q", number) + b"no room")
    del site.env["QMAILQUEUE"]
    with site.session() as s:
        s.ask(EHLO)
        got = lines(s.ask(ENVELOPE))
        assert len(got) == 3 and got[2].startswith(want)
        assert code(s.ask(b"RSET\r\n")) == 250


def test_a_queue_that_dies_is_a_temporary_failure(site):
    Queued(site, finish=None)
    del site.env["QMAILQUEUE"]
    with site.session() as s:
        s.ask(EHLO)
        assert s.ask(ENVELOPE) == REPLY_352
        assert s.ask(b"hi\r\n.\r\n").startswith(b"451 4.")


def test_a_client_that_leaves_in_data_leaves_nothing(site):
    with site.session() as s:
        s.ask(ENVELOPE)
        s.send(b"half a message\r\n")
        _, log = s.end()
    assert b"lost: client left in DATA" in log
    wait_for(lambda: not list((site.home / "got").glob("*.msg")), what="an empty queue")
    assert site.queued() == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_f7_interrupted_calls_are_repeated(site):
    """F7: EINTR from every second read, poll and write."""
    queue = Queued(site, finish=record(17, struct.pack("<Q", 5)))
    del site.env["QMAILQUEUE"]
    trace = site.home / "trace"
    (site.home / "bin/qmail-smtpd").rename(site.home / "bin/traced")
    (site.home / "bin/qmail-smtpd").write_text(
        f"#!/bin/sh\nexec strace -qq -o {trace} -e inject=read,poll,write,sendto,recvfrom:error=EINTR:when=2+2 "
        f"{site.home}/bin/traced\n")
    (site.home / "bin/qmail-smtpd").chmod(0o755)
    with site.session() as s:
        s.ask(EHLO)
        assert s.ask(ENVELOPE) == REPLY_352
        assert code(s.ask(b"hi\r\n.\r\n")) == 250
        assert code(s.ask(b"QUIT\r\n")) == 221
    queue.join(10)
    assert b"".join(v for k, v in queue.records if k == 2).endswith(b"\nhi\n")
    assert "(INJECTED)" in trace.read_text()


# ---- clients that others wrote ----


class Listener(threading.Thread):
    """Accept on loopback and run qmail-smtpd for each connection."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site = site
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            subprocess.Popen([self.site.home / "bin/qmail-smtpd"], stdin=conn, stdout=conn,
                             stderr=subprocess.DEVNULL, env=self.site.env)
            conn.close()


@pytest.fixture
def port(site):
    listener = Listener(site)
    yield listener.port
    listener.sock.close()


def test_smtplib_sends(site, port):
    text = "From: a@t\r\nSubject: \u00e1\r\n\r\n.dot\r\n\r\nlast".encode()
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        assert client.ehlo()[0] == 250 and client.has_extn("8bitmime") and client.has_extn("size")
        refused = client.sendmail("a@t", ["b@t", "c@t", "x@far"], text, ["BODY=8BITMIME"])
        assert list(refused) == ["x@far"]
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@t", ["x@far"], text)
        client.sendmail("", ["b@t"], b"")
    (message, _, recipients), (_, sender, _) = site.queued()
    assert message.endswith(b"-0000\n" + text.replace(b"\r\n", b"\n") + b"\n")
    assert recipients == [b"b@t", b"c@t"] and sender == b""


def test_smtplib_sends_ten_megabytes(site, port):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    text = b"Subject: big\r\n\r\n" + line * (10_000_000 // len(line))
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.sendmail("a@t", ["b@t"], text)
    assert site.queued()[0][0].endswith(text.replace(b"\r\n", b"\n"))


@pytest.mark.skipif(not shutil.which("swaks"), reason="swaks is not installed")
@pytest.mark.parametrize("options", [[], ["--pipeline"], ["--helo", "[192.0.2.3]"], ["--protocol", "SMTP"]],
                         ids=str)
def test_swaks_sends(site, port, options):
    subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "a@t", "--to", "b@t,c@t",
                    "--body", "hello\n.dot\n", *options], check=True, capture_output=True, timeout=60)
    message, sender, recipients = site.queued()[0]
    assert b"\nhello\n.dot\n" in message
    assert (sender, recipients) == (b"a@t", [b"b@t", b"c@t"])
