"""qmail-popup and qmail-pop3d, driven through their descriptors.

Behind qmail-popup stands a checkpassword in Python that writes down what
descriptor 3 gave it. As root it becomes an ordinary uid, as a real one does.
"""

import hashlib
import os
import pathlib
import poplib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from waiting import wait_for

USER_UID = 64231
POPUP_UID = 64232

CHECKPASSWORD = """#!/usr/bin/python3 -IS
import os, signal, sys
data = b""
while part := os.read(3, 1000):
    data += part
os.close(3)
with open("{home}/fd3", "wb") as file:
    file.write(data)
user, secret, stamp = data.split(b"\\0")[:3]
if secret == b"crash":
    os.kill(os.getpid(), signal.SIGKILL)
if secret[:5] == b"exit ":
    os._exit(int(secret[5:]))
if secret != b"se  cret":
    os._exit(1)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid({uid})
    os.setuid({uid})
os.chdir("{home}/user")
os.environ["USER"] = user.decode()
os.execv(sys.argv[1], sys.argv[1:])
"""


class Site:
    def __init__(self, bin):
        # Not pytest's tmp_path: another uid must be able to walk there.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="valija-pop3-", dir="/var/tmp"))
        self.home.chmod(0o755)
        for name in "bin", "control", "users", "user":
            (self.home / name).mkdir()
        for name in "qmail-popup", "qmail-pop3d":
            shutil.copy(bin / name, self.home / "bin")
        (self.home / "users/ids").write_text(f"qmaild {POPUP_UID} {POPUP_UID}\n")
        self.check = self.home / "checkpassword"
        self.check.write_text(CHECKPASSWORD.format(home=self.home, uid=USER_UID))
        self.check.chmod(0o755)
        self.maildir = self.home / "user/Maildir"
        for name in "tmp", "new", "cur":
            (self.maildir / name).mkdir(parents=True)
        self.clock = 1_500_000_000
        self.own()

    def own(self):
        """Everything below user/ belongs to the user."""
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{USER_UID}:{USER_UID}", self.home / "user"], check=True)

    def add(self, name, content, folder="new"):
        path = self.maildir / folder / name
        path.write_bytes(content)
        self.clock += 1
        os.utime(path, (self.clock, self.clock))
        if os.getuid() == 0:
            os.chown(path, USER_UID, USER_UID)
        return path

    def files(self):
        return sorted(str(p.relative_to(self.maildir)) for f in ("new", "cur")
                      for p in (self.maildir / f).iterdir())


class Session:
    """A program whose descriptors 0 and 1 are a socket to us."""

    def __init__(self, site, argv, **kw):
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(20)
        self.log_path = site.home / f"log.{time.monotonic_ns()}"
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                argv, stdin=theirs, stdout=theirs, stderr=log,
                env={"TCPREMOTEIP": "192.0.2.1", "PATH": os.environ["PATH"], "QMAILHOME": str(site.home)}, **kw)
        theirs.close()
        self.file = self.sock.makefile("rb")

    def line(self):
        return self.file.readline()

    def send(self, *commands):
        self.sock.sendall(b"".join(c + b"\r\n" for c in commands))

    def ask(self, command):
        self.send(command)
        return self.line()

    def multi(self, command=None):
        """The lines of a multi-line reply, dots undone; None for -ERR."""
        if command is not None:
            self.send(command)
        if not self.line().startswith(b"+OK"):
            return None
        return b"".join(self.body())

    def body(self):
        while (line := self.line()) != b".\r\n":
            assert line.endswith(b"\r\n")
            yield line[1:] if line[:1] == b"." else line

    def end(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.file.close()
        self.sock.close()
        return self.proc.wait(20), self.log_path.read_bytes()

    def __enter__(self):
        self.greeting = self.line()
        assert self.greeting.startswith(b"+OK")
        return self

    def __exit__(self, *_):
        self.end()


@pytest.fixture
def site(bin):
    site = Site(bin)
    yield site
    shutil.rmtree(site.home)


def popup(site, *program, **kw):
    argv = program or (site.check, site.home / "bin/qmail-pop3d", "Maildir")
    return Session(site, [site.home / "bin/qmail-popup", "pop.example.test", *argv], **kw)


def pop3d(site, maildir="Maildir", before=(), **kw):
    if os.getuid() == 0:
        kw.update(user=USER_UID, group=USER_UID, extra_groups=[])
    return Session(site, [*before, site.home / "bin/qmail-pop3d", maildir], cwd=site.home / "user", **kw)


# ---- log-in ----


def test_user_and_pass_reach_descriptor_3(site):
    with popup(site) as s:
        stamp = re.fullmatch(rb"\+OK (<\d+\.\d+@pop\.example\.test>)\r\n", s.greeting)[1]
        assert s.ask(b"USER joe@example.test") == b"+OK\r\n"
        assert s.ask(b"PASS se  cret").startswith(b"+OK")
        assert s.ask(b"STAT") == b"+OK 0 0\r\n"
        assert s.ask(b"QUIT").startswith(b"+OK")
        assert s.line() == b""
        assert s.end()[0] == 0
    assert (site.home / "fd3").read_bytes() == b"joe@example.test\0se  cret\0" + stamp + b"\0"


def test_apop_reaches_descriptor_3(site):
    with popup(site) as s:
        stamp = s.greeting[4:-2]
        digest = hashlib.md5(stamp + b"tanstaaf").hexdigest().encode()
        assert s.ask(b"APOP mrose " + digest) == b"-ERR [AUTH] authorization failed\r\n"
        assert s.line() == b""
    assert (site.home / "fd3").read_bytes() == b"mrose\0" + digest + b"\0" + stamp + b"\0"


@pytest.mark.parametrize("secret", [b"wrong", b"exit 1", b"exit 3", b"exit 77"])
def test_a_refused_password_is_said_and_ends_the_session(site, secret):
    with popup(site) as s:
        s.ask(b"USER joe\x1b")
        assert s.ask(b"PASS " + secret) == b"-ERR [AUTH] authorization failed\r\n"
        assert s.line() == b""
        _, log = s.end()
    assert re.fullmatch(rb"qmail-popup: \d+ 192\.0\.2\.1 refused log-in: joe\\x1b\n", log)


@pytest.mark.parametrize("secret", [b"exit 111", b"exit 2", b"exit 100", b"crash"])
def test_au8_trouble_is_never_a_bad_password(site, secret):
    """AU8: a directory that is down, a crash: [SYS/TEMP]."""
    with popup(site) as s:
        s.ask(b"USER joe")
        assert s.ask(b"PASS " + secret).startswith(b"-ERR [SYS/TEMP] ")
        assert s.line() == b""


def test_au8_a_program_that_is_missing_is_temporary(site):
    with popup(site, "/nonexistent/checkpassword", "x") as s:
        s.ask(b"USER joe")
        assert s.ask(b"PASS x").startswith(b"-ERR [SYS/TEMP] ")


def test_capabilities(site):
    want = {b"TOP", b"UIDL", b"USER", b"RESP-CODES", b"PIPELINING", b"EXPIRE NEVER", b"IMPLEMENTATION valija"}
    with popup(site) as s:
        assert set(s.multi(b"CAPA").splitlines()) == want | {b"AUTH-RESP-CODE"}
        s.send(b"USER joe", b"PASS se  cret")
        s.line()
        s.line()
        assert set(s.multi(b"CAPA").splitlines()) == want


def test_commands_pipelined_behind_the_password_are_not_swallowed(site):
    site.add("1.x", b"hello\n")
    for pieces in 1, 5, 1000:
        with popup(site) as s:
            wire = b"CAPA\r\nUSER joe\r\nPASS se  cret\r\nSTAT\r\nRETR 1\r\nNOOP\r\nQUIT\r\n"
            for i in range(0, len(wire), pieces):
                s.sock.sendall(wire[i:i + pieces])
            s.multi()
            assert [s.line()[:3] for _ in range(2)] == [b"+OK"] * 2
            assert s.line() == b"+OK 1 7\r\n"
            assert s.multi() == b"hello\r\n"
            assert s.line()[:3] == s.line()[:3] == b"+OK"
            assert s.line() == b""


def test_pipelining_over_a_pipe_too(site):
    site.add("1.x", b"hello\n")
    out = subprocess.run(
        [site.home / "bin/qmail-popup", "h", site.check, site.home / "bin/qmail-pop3d", "Maildir"],
        input=b"USER joe\nPASS se  cret\nSTAT\nQUIT\n", capture_output=True, timeout=20,
        env={"PATH": os.environ["PATH"], "QMAILHOME": str(site.home)}).stdout
    assert out.split(b"\r\n")[2:] == [b"+OK", b"+OK 1 7", b"+OK", b""]


@pytest.mark.parametrize("command", [b"STAT", b"PASS x", b"USER", b"USER ", b"APOP", b"APOP joe", b"STLS",
                                     b"AUTH", b"AUTH PLAIN", b"USER a\0b", b"", b"x" * 5000,
                                     b"USER joe\r\nPASS ", b"USER joe\r\nPASS"])
def test_what_cannot_be_obeyed_before_log_in(site, command):
    with popup(site) as s:
        s.send(command)
        replies = [s.line() for _ in command.split(b"\r\n")]
        assert replies[-1].startswith(b"-ERR ")
        assert s.ask(b"QUIT").startswith(b"+OK")
    assert not (site.home / "fd3").exists()


def test_more_than_512_bytes_never_reach_the_program(site):
    with popup(site) as s:
        assert s.ask(b"USER " + b"u" * 300).startswith(b"+OK")
        assert s.ask(b"PASS " + b"p" * 300).startswith(b"-ERR [AUTH]")
    assert not (site.home / "fd3").exists()


def test_one_byte_password_and_latin_letters_pass(site):
    for secret in b"x", b"\xe9\xe8 ", b" x", b"\\":
        with popup(site) as s:
            s.ask(b"USER joe")
            s.ask(b"PASS " + secret)
        assert (site.home / "fd3").read_bytes().split(b"\0")[1] == secret


@pytest.mark.parametrize("line", [b"POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER joe\r\n", b"GET / HTTP/1.0\r\n"])
def test_al1_http_gets_one_reply(site, line):
    with popup(site) as s:
        s.sock.sendall(line)
        assert s.line().startswith(b"-ERR ")
        assert s.line() == b""


def test_al3_ten_errors_end_the_session(site):
    with popup(site) as s:
        for _ in range(10):
            assert s.ask(b"<script>").startswith(b"-ERR ")
        assert s.line() == b""
    with pop3d(site) as s:
        for _ in range(10):
            assert s.ask(b"<script>").startswith(b"-ERR ")
        assert s.line() == b""


def test_im2_a_command_without_end_takes_no_memory(site):
    for start in popup, pop3d:
        with start(site) as s:
            for _ in range(16):
                s.sock.sendall(b"A" * (1 << 20))
            for pid in [s.proc.pid, *children(s.proc.pid)]:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 8192
            s.sock.sendall(b"\r\n")
            assert s.line() == b"-ERR line too long\r\n"


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.root
def test_the_monitor_stays_root_and_the_parser_does_not(site):
    with popup(site) as s:
        (parser,) = children(s.proc.pid)
        status = pathlib.Path(f"/proc/{parser}/status").read_text()
        assert re.search(r"Uid:\s+(.*)", status)[1].split() == [str(POPUP_UID)] * 4
        assert re.search(r"Gid:\s+(.*)", status)[1].split() == [str(POPUP_UID)] * 4
        assert re.search(r"Groups:\s*(.*)", status)[1].split() == [str(POPUP_UID)]
        monitor = pathlib.Path(f"/proc/{s.proc.pid}/status").read_text()
        assert re.search(r"Uid:\s+(.*)", monitor)[1].split() == ["0"] * 4


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_monitor_never_reads_the_client(site):
    trace = site.home / "trace"
    s = Session(site, ["strace", "-o", trace, "-e", "trace=read,readv,recvfrom,recvmsg,pread64",
                       site.home / "bin/qmail-popup", "h", site.check, "true"])
    with s:
        s.ask(b"USER joe")
        s.ask(b"PASS wrong")
        s.end()
    calls = trace.read_text()
    assert "recvmsg(" in calls and not re.search(r"^(read|readv|recvfrom|recvmsg)\(0,", calls, re.M)


@pytest.mark.root
@pytest.mark.parametrize("ids", [None, "", "qmaild x y\n", "qmaild 0 0\n"])
def test_root_without_a_uid_for_the_parser_serves_nobody(site, ids):
    path = site.home / "users/ids"
    path.unlink()
    if ids is not None:
        path.write_text(ids)
    s = popup(site)
    assert s.line().startswith(b"-ERR [SYS/TEMP] ")
    assert s.line() == b""
    s.end()


@pytest.mark.root
def test_au6_pop3d_refuses_root(site):
    """AU6: exit 1, before anything is opened."""
    done = subprocess.run([site.home / "bin/qmail-pop3d", "Maildir"], cwd=site.home / "user",
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"qmail-pop3d: refusing to run as root\n"


def test_parser_ends_when_the_monitor_dies_and_the_other_way_round(site):
    with popup(site) as s:
        (parser,) = children(s.proc.pid)
        os.kill(parser, signal.SIGKILL)
        assert s.line() == b""
        assert s.proc.wait(10) == 0


# ---- mailboxes ----


SHAPES = [b"", b"\n", b"a", b"a\n", b"Subject: x\n\nbody\n", b"Subject: x\n\nno end", b".\n..\n.x\n",
          b"crlf\r\nlf\n\r\n", b"bare\rcr\n", b"\n\n\n", b"\xff\x00\xfe\n", b"x" * 200000 + b"\n",
          b"h: 1\n\n" + b"line\n" * 50000, b"cr at end\r"]


def as_sent(content):
    sent = re.sub(rb"(?<!\r)\n", b"\r\n", content)
    return sent if not content or content.endswith(b"\n") else sent + b"\r\n"


def test_sizes_equal_the_octets_sent(site):
    for i, content in enumerate(SHAPES):
        site.add(f"{i}.m", content)
    with pop3d(site) as s:
        sizes = [int(l.split()[1]) for l in s.multi(b"LIST").splitlines()]
        assert s.ask(b"STAT") == b"+OK %d %d\r\n" % (len(SHAPES), sum(sizes))
        for i, content in enumerate(SHAPES):
            got = s.multi(b"RETR %d" % (i + 1))
            assert got == as_sent(content), i
            assert sizes[i] == len(got)
            assert s.ask(b"LIST %d" % (i + 1)) == b"+OK %d %d\r\n" % (i + 1, len(got))


def test_sizes_in_names_are_believed_only_when_they_can_be_true(site):
    site.add("1.x,S=6,W=7", b"hello\n")       # true
    site.add("2.x,S=6,W=9", b"hello\n")       # a lie within reason
    site.add("3.x,S=6,W=99", b"hello\n")      # not possible
    site.add("4.x,S=5,W=7", b"hello\n")       # of another file
    site.add("5.x,S=5,W=5", b"hello")         # does not count the last CRLF
    with pop3d(site) as s:
        sizes = [int(l.split()[1]) for l in s.multi(b"LIST").splitlines()]
        assert sizes == [7, 9, 7, 7, 7]
        s.multi(b"RETR 2")
        assert s.ask(b"LIST 2") == b"+OK 2 7\r\n"


def test_top_sends_the_header_and_some_lines(site):
    site.add("1.x", b"A: b\nC: d\n\n1\n.2\n3\n")
    with pop3d(site) as s:
        head = b"A: b\r\nC: d\r\n\r\n"
        for n, body in [(0, b""), (1, b"1\r\n"), (2, b"1\r\n.2\r\n"), (3, b"1\r\n.2\r\n3\r\n"),
                        (10**18, b"1\r\n.2\r\n3\r\n")]:
            assert s.multi(b"TOP 1 %d" % n) == head + body
        for bad in b"TOP 1", b"TOP", b"TOP 1 x", b"TOP 1 -1", b"TOP 2 0":
            assert s.ask(bad).startswith(b"-ERR")


def test_messages_are_in_the_order_of_their_age(site):
    site.add("300.c", b"c\n", "cur")
    site.add("100.b", b"b\n")
    site.add("200.a:2,S", b"a\n", "cur")
    with pop3d(site) as s:
        assert s.multi(b"UIDL") == b"1 300.c\r\n2 100.b\r\n3 200.a\r\n"


def test_uidl_is_the_base_name_or_a_hash_of_70_bytes_at_most(site):
    names = ["1700000000.M1P2.host,S=5:2,FS", "x" * 70, "y" * 71, "sp ace", "\u00e9t\u00e9"]
    for name in names:
        site.add(name, b"x\n", "cur")
    with pop3d(site) as s:
        uids = [l.split(b" ", 1)[1] for l in s.multi(b"UIDL").splitlines()]
        assert uids[:2] == [b"1700000000.M1P2.host,S=5", b"x" * 70]
        assert all(re.fullmatch(rb"[!-~]{1,70}", u) for u in uids) and len(set(uids)) == 5
        assert s.ask(b"UIDL 2") == b"+OK 2 " + uids[1] + b"\r\n"
    with pop3d(site) as s:
        assert [l.split(b" ", 1)[1] for l in s.multi(b"UIDL").splitlines()] == uids


def test_only_quit_deletes_and_moves(site):
    for name in "1.a", "2.b", "3.c":
        site.add(name, b"x\n")
    site.add("4.d:2,", b"x\n", "cur")
    before = site.files()
    with pop3d(site) as s:
        s.multi(b"RETR 2")
        s.ask(b"DELE 1")
        s.ask(b"DELE 4")
    assert site.files() == before
    with pop3d(site) as s:
        assert s.ask(b"DELE 3").startswith(b"+OK")
        assert s.ask(b"RSET").startswith(b"+OK")
        s.multi(b"RETR 2")
        assert s.ask(b"DELE 1").startswith(b"+OK")
        assert s.ask(b"DELE 1").startswith(b"-ERR")
        assert s.ask(b"RETR 1").startswith(b"-ERR")
        assert s.multi(b"LIST") == b"2 3\r\n3 3\r\n4 3\r\n"
        assert s.ask(b"STAT") == b"+OK 3 9\r\n"
        assert s.ask(b"DELE 4").startswith(b"+OK")
        assert s.ask(b"QUIT").startswith(b"+OK")
        assert s.line() == b""
    # Retrieved is seen; the other one is not new any more.
    assert site.files() == ["cur/2.b:2,S", "cur/3.c:2,"]


def test_last_and_noop(site):
    for name in "1.a", "2.b", "3.c":
        site.add(name, b"x\n")
    with pop3d(site) as s:
        assert s.ask(b"LAST") == b"+OK 0\r\n"
        s.multi(b"RETR 2")
        s.multi(b"RETR 1")
        assert s.ask(b"LAST") == b"+OK 2\r\n"
        s.ask(b"RSET")
        assert s.ask(b"last") == b"+OK 0\r\n"
        assert s.ask(b"NOOP").startswith(b"+OK")


@pytest.mark.parametrize("arg", [b"", b"0", b"3", b"-1", b"x", b"1x", b"18446744073709551617", b"1 2"])
def test_arguments_that_name_no_message(site, arg):
    site.add("1.a", b"x\n")
    with pop3d(site) as s:
        for verb in b"RETR", b"DELE":
            reply = s.ask(verb + b" " + arg)
            assert reply.startswith(b"-ERR ")
        assert s.ask(b"NOOP").startswith(b"+OK")


def test_messages_that_others_rename_or_remove_meanwhile(site):
    paths = [site.add(f"{i}.m", b"%d\n" % i, "cur" if i % 2 else "new") for i in range(6)]
    with pop3d(site) as s:
        paths[0].rename(site.maildir / "cur/0.m:2,RS")
        paths[1].rename(site.maildir / "cur/1.m:2,F")
        paths[2].unlink()
        paths[3].unlink()
        paths[4].rename(site.maildir / "cur/4.m:2,")
        assert s.multi(b"RETR 1") == b"0\r\n"
        assert s.ask(b"RETR 3").startswith(b"-ERR")
        assert s.ask(b"LIST 4").startswith(b"-ERR")
        assert s.multi(b"LIST") == b"1 3\r\n2 3\r\n5 3\r\n6 3\r\n"
        paths[5].rename(site.maildir / "cur/5.m:2,S")
        for n in 2, 5, 6:
            assert s.ask(b"DELE %d" % n).startswith(b"+OK")
        (site.maildir / "cur/4.m:2,").unlink()
        assert s.ask(b"QUIT").startswith(b"+OK")
    assert site.files() == ["cur/0.m:2,RS"]


def test_what_cannot_be_removed_is_said(site):
    if os.getuid() == 0:
        site.add("1.a", b"x\n", "cur")
        os.chown(site.maildir / "cur", 0, 0)
    else:
        site.add("1.a", b"x\n", "cur")
    (site.maildir / "cur").chmod(0o555)
    try:
        with pop3d(site) as s:
            s.ask(b"DELE 1")
            assert s.ask(b"QUIT").startswith(b"-ERR [SYS/TEMP] ")
            assert s.end()[0] == 0
    finally:
        (site.maildir / "cur").chmod(0o755)
    assert site.files() == ["cur/1.a"]


def test_maildirsize_learns_what_left(site):
    site.add("1.a,S=100", b"x\n", "cur")
    site.add("2.b", b"xyz\n", "cur")
    site.add("3.c:2,T", b"trash\n", "cur")
    size = site.maildir / "maildirsize"
    size.write_text("1000S\n110 3\n")
    site.own()
    with pop3d(site) as s:
        for n in b"123":
            s.ask(b"DELE %c" % n)
        s.ask(b"QUIT")
    assert size.read_text().split() == ["1000S", "110", "3", "-104", "-2"]


@pytest.mark.parametrize("which", ["Maildir", "new", "cur"])
def test_fp3_folders_that_are_links_are_not_followed(site, which):
    """FP3: the whole Maildir, new or cur a link to somebody else's."""
    other = site.home / "other"
    shutil.copytree(site.maildir, other)
    (other / "new/1.secret").write_bytes(b"secret\n")
    path = site.maildir if which == "Maildir" else site.maildir / which
    shutil.rmtree(path)
    path.symlink_to(other if which == "Maildir" else other / which)
    s = pop3d(site)
    assert s.line().startswith(b"-ERR ")
    assert s.end()[0] == 0


def test_fp3_messages_that_are_links_or_no_files_are_not_messages(site):
    secret = site.home / "secret"
    secret.write_bytes(b"secret\n")
    (site.maildir / "new/1.link").symlink_to(secret)
    (site.maildir / "new/2.dir").mkdir()
    os.mkfifo(site.maildir / "new/3.fifo")
    (site.maildir / "new/.hidden").write_bytes(b"x\n")
    victim = site.add("4.ok", b"fine\n")
    with pop3d(site) as s:
        assert s.multi(b"UIDL") == b"1 4.ok\r\n"
        victim.unlink()
        victim.symlink_to(secret)
        assert s.ask(b"RETR 1").startswith(b"-ERR")


def test_a_missing_maildir_is_said_and_logged(site):
    s = pop3d(site, "Nowhere")
    assert s.line() == b"-ERR this user has no Maildir\r\n"
    status, log = s.end()
    assert status == 0 and log == b"qmail-pop3d: unable to open Nowhere: No such file or directory\n"


def test_an_unreadable_message_is_a_temporary_refusal(site):
    path = site.add("1.a", b"x\n")
    if os.getuid() == 0:
        os.chown(path, 0, 0)
    path.chmod(0o000 if os.getuid() else 0o600)
    with pop3d(site) as s:
        assert s.ask(b"RETR 1").startswith(b"-ERR [SYS/TEMP] ")
        assert s.ask(b"STAT") == b"+OK 1 2\r\n"


def test_old_files_in_tmp_are_cleaned_out(site):
    old, young = site.maildir / "tmp/old", site.maildir / "tmp/young"
    for path in old, young:
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    site.own()
    with pop3d(site):
        pass
    assert young.exists() and not old.exists()


def test_pipelined_commands_are_answered_in_order(site):
    for i in range(50):
        site.add(f"{i}.m", b"message %d\n" % i)
    with pop3d(site) as s:
        s.send(*[b"RETR %d" % (i + 1) for i in range(50)], *[b"DELE %d" % (i + 1) for i in range(50)], b"QUIT")
        for i in range(50):
            assert s.multi() == b"message %d\r\n" % i
        assert all(s.line().startswith(b"+OK") for _ in range(51))
    assert site.files() == []


def test_a_hundred_thousand_messages(site):
    """Links to a few files: their number is what matters."""
    count = 100_000
    for i in range(10):
        site.add(f"{i}.base", b"message\n" * (i + 1), "cur")
    for i in range(10, count):
        os.link(site.maildir / f"cur/{i % 10}.base", site.maildir / f"cur/{i}.m")
    start = time.monotonic()
    with pop3d(site) as s:
        assert s.ask(b"STAT") == b"+OK %d %d\r\n" % (count, count // 10 * 9 * 55)
        assert len(s.multi(b"UIDL").splitlines()) == count
        assert len(s.multi(b"LIST").splitlines()) == count
        status = pathlib.Path(f"/proc/{s.proc.pid}/status").read_text()
        assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 65536
        s.send(*[b"DELE %d" % (i + 1) for i in range(1000)], b"QUIT")
        assert all(s.line().startswith(b"+OK") for _ in range(1001))
    assert time.monotonic() - start < 30
    assert len(os.listdir(site.maildir / "cur")) == count - 1000


# ---- faults ----

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def injected(site, what, *more):
    """strace arguments that break a system call, and the trace's path."""
    (site.home / "traces").mkdir(exist_ok=True)
    (site.home / "traces").chmod(0o777)
    trace = site.home / "traces" / str(time.monotonic_ns())
    return ["strace", "-f", "-qq", "-o", trace, *more, "-e", f"inject={what}"], trace


@needs_strace
@pytest.mark.parametrize("call", ["unlinkat", "renameat2", "getdents64", "read"])
def test_f4_io_errors_are_said_and_lose_nothing(site, call):
    """F4: EIO from each call that touches the Maildir."""
    site.add("1.a", b"one\n", "cur")
    site.add("2.b", b"two\n")
    more = ["-P", site.maildir / "cur/1.a"] if call == "read" else []
    before, trace = injected(site, f"{call}:error=EIO", *more)
    s = pop3d(site, before=before)
    if call == "getdents64":
        assert s.line().startswith(b"-ERR [SYS/TEMP]")
    elif call == "read":
        s.line()
        s.send(b"RETR 1")
        # No last dot: the client knows that it is not all.
        assert s.line() == b"+OK\r\n" and s.line() == b""
    else:
        s.line()
        s.ask(b"DELE 1")
        assert s.ask(b"QUIT")[:4] == (b"-ERR" if call == "unlinkat" else b"+OK\r")
    s.end()
    assert "(INJECTED)" in trace.read_text()
    assert site.files() == {"unlinkat": ["cur/1.a", "cur/2.b:2,"], "renameat2": ["new/2.b"]}.get(
        call, ["cur/1.a", "new/2.b"])


@needs_strace
def test_f1_kills_during_quit_lose_no_message_but_marked_ones(site):
    """F1: SIGKILL before each removal and each move."""
    for call in "unlinkat", "renameat2":
        for n in 1, 2, 3:
            for path in [p for f in ("new", "cur") for p in (site.maildir / f).iterdir()]:
                path.unlink()
            for i in range(6):
                site.add(f"{i}.m", b"%d\n" % i)
            before, trace = injected(site, f"{call}:signal=KILL:when={n}")
            with pop3d(site, before=before) as s:
                for marked in 1, 3, 5:
                    s.ask(b"DELE %d" % marked)
                assert s.ask(b"QUIT") == b""
            assert "killed by SIGKILL" in trace.read_text()
            left = [f.split("/")[1].split(":")[0] for f in site.files()]
            assert len(left) == len(set(left)) and {"1.m", "3.m", "5.m"} <= set(left)
            with pop3d(site) as s:
                assert s.ask(b"STAT").split()[1] == b"%d" % len(left)


@needs_strace
def test_f7_interrupted_calls_are_repeated(site):
    site.add("1.a", b"one\n")
    before, trace = injected(site, "read,poll,write,sendto:error=EINTR:when=1+2")
    with pop3d(site, before=before) as s:
        assert s.multi(b"RETR 1") == b"one\r\n"
        assert s.ask(b"QUIT").startswith(b"+OK")
    assert "(INJECTED)" in trace.read_text()


# ---- a client that others wrote ----


@pytest.fixture
def port(site):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            subprocess.Popen([site.home / "bin/qmail-popup", "h", site.check,
                              site.home / "bin/qmail-pop3d", "Maildir"], stdin=conn, stdout=conn,
                             stderr=subprocess.DEVNULL,
                             env={"PATH": os.environ["PATH"], "QMAILHOME": str(site.home)})
            conn.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_poplib_reads_and_deletes(site, port):
    rng = random.Random(3)
    contents = [b"".join(bytes(rng.choice(b".a\xff \t") for _ in range(rng.choice([0, 1, 70]))) + b"\n"
                         for _ in range(rng.randrange(30))) for _ in range(20)]
    for i, content in enumerate(contents):
        site.add(f"{i}.m,S={len(content)}", content)
    client = poplib.POP3("127.0.0.1", port, timeout=20)
    client.user("joe")
    client.pass_("se  cret")
    assert client.stat()[0] == 20
    for i, content in enumerate(contents):
        _, got, octets = client.retr(i + 1)
        assert b"".join(l + b"\n" for l in got) == content
        assert client.list(i + 1).split()[2] == b"%d" % octets
        client.dele(i + 1)
    client.quit()
    assert site.files() == []


def test_poplib_is_refused_with_a_reason(site, port):
    client = poplib.POP3("127.0.0.1", port, timeout=20)
    client.user("joe")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("wrong")
    client.close()
