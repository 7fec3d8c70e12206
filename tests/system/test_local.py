"""qmail-local where a model does not reach: faults, locks, syncs, races."""

import fcntl
import mailbox
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile

import pytest

import jobs
from waiting import wait_for

ROOT = os.geteuid() == 0
UID = 45671 if ROOT else os.getuid()
GID = 45671 if ROOT else os.getgid()
MESSAGE = b"Subject: hello\n\nline\nFrom here\n"
STRACE = shutil.which("strace")


def become():
    if ROOT:
        os.setgroups([GID])
        os.setgid(GID)
        os.setuid(UID)


class Home:
    def __init__(self, bin):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="valija-local-", dir="/var/tmp"))
        self.top.chmod(0o755)
        (self.top / "bin").mkdir()
        shutil.copy(bin / "qmail-local", self.top / "bin")
        self.program = self.top / "bin/qmail-local"
        self.home = self.top / "home"
        for path in (self.home, self.home / "Maildir", *(self.home / "Maildir" / s for s in ("tmp", "new", "cur"))):
            path.mkdir(mode=0o700)
            self.own(path)

    def own(self, path):
        if ROOT:
            os.chown(path, UID, GID)

    def args(self, default):
        return [self.program, "--", "box", self.home, "box", "", "", "h", "s@x", default]

    def deliver(self, default="./Maildir/", message=MESSAGE, before=None, prefix=(), **kw):
        def prepare():
            if before:
                before()
            become()
        done = subprocess.run([*map(str, prefix), *map(str, self.args(default))], input=message,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=prepare, **kw)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def job(self, default="./Maildir/", message=MESSAGE, prefix=(), disks=None, **kw):
        """Run one job; (letter, text), or None when it died.

        disks: of these devices one fsync is enough; None: nobody knows.
        """
        peer = jobs.Peer([*prefix, self.program, "--jobs"], preexec_fn=become)
        extra = b"".join(jobs.record(kind, os.fsencode(value)) for kind, value in (
            (jobs.USER, "box"), (jobs.HOME, self.home), (jobs.LOCAL, "box"), (jobs.DASH, ""),
            (jobs.EXT, ""), (jobs.DOMAIN, "h"), (jobs.DEFAULT, default)))
        if disks is not None:
            extra += jobs.record(jobs.DISKS, struct.pack(f"<{len(disks)}Q", *disks))
        try:
            peer.send(*jobs.job(1, message, b"s@x", [(3, b"box@h")], extra=extra, **kw))
            result = peer.result()[1][3]
        except (EOFError, ConnectionResetError, BrokenPipeError):
            result = None
        peer.sock.close()  # no other job
        peer.process.wait(30)
        peer.process.stderr.close()
        return result

    def device(self):
        return self.home.stat().st_dev

    def is_btrfs(self):
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.home], capture_output=True, text=True)
        return kind.stdout.strip() == "btrfs"

    def copies(self):
        return [p for sub in ("new", "cur") for p in (self.home / "Maildir" / sub).iterdir()]


@pytest.fixture
def home(bin):
    it = Home(bin)
    yield it
    shutil.rmtree(it.top)


@pytest.mark.parametrize("args", [[], ["a"], ["-x"], ["box", "relative", "box", "", "", "h", "s", ""],
                                  ["b"] * 9])
def test_misuse_is_permanent(home, args):
    done = subprocess.run([home.program, *args], capture_output=True, input=b"")
    assert done.returncode == 100
    assert b"usage: qmail-local" in done.stderr


def test_missing_home_is_temporary(home):
    shutil.rmtree(home.home)
    code, _, said = home.deliver()
    assert code == 111
    assert said == f"Unable to switch to {home.home}: No such file or directory. (#4.3.0)\n"
    home.home.mkdir()


def test_message_from_a_file_is_read_from_its_beginning(home):
    path = home.top / "message"
    path.write_bytes(MESSAGE)
    with open(path, "rb") as message:
        message.read(5)
        os.lseek(message.fileno(), 5, os.SEEK_SET)
        done = subprocess.run([str(a) for a in home.args("./Maildir/")], stdin=message, preexec_fn=become)
    assert done.returncode == 0
    assert home.copies()[0].read_bytes().endswith(b"Delivered-To: box@h\n" + MESSAGE)


# ---- mbox ----

def test_many_deliveries_into_one_mbox_do_not_mix(home):
    def start(n):
        process = subprocess.Popen([str(a) for a in home.args("./mbox")], stdin=subprocess.PIPE, preexec_fn=become)
        process.stdin.write(b"N: %d\n\n" % n + b"From x%d\n" % n * 3000)
        return process
    running = [start(n) for n in range(20)]
    for process in running:
        process.stdin.close()
    assert [p.wait(60) for p in running] == [0] * 20
    box = mailbox.mbox(home.home / "mbox")
    seen = {int(m["N"]): m.get_payload() for m in box}
    box.close()
    assert sorted(seen) == list(range(20))
    for n, body in seen.items():
        assert body == f">From x{n}\n" * 3000
    assert (home.home / "mbox").stat().st_mode & 0o777 == 0o600


def test_mbox_waits_for_the_lock(home):
    path = home.home / "mbox"
    path.touch()
    home.own(path)
    with open(path) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = subprocess.Popen([str(a) for a in home.args("./mbox")], stdin=subprocess.PIPE, preexec_fn=become)
        process.stdin.write(MESSAGE)
        process.stdin.close()
        wait_for(lambda: "mbox" in " ".join(
            os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")),
            10, "the file to be open")
        assert path.stat().st_size == 0
        assert process.poll() is None
    assert process.wait(30) == 0
    assert path.stat().st_size > 0


def test_mbox_that_cannot_grow_is_as_it_was(home):
    path = home.home / "mbox"
    path.write_bytes(b"From old\n\nold\n\n")
    home.own(path)
    assert home.job("./mbox", message=MESSAGE * 100, prefix=["prlimit", "--fsize=1000"]) == (
        "Z", "Unable to write ./mbox: File too large. (#4.3.0)\n")
    assert path.read_bytes() == b"From old\n\nold\n\n"


@pytest.mark.parametrize("call", ["fsync", "write"])
@pytest.mark.skipif(not STRACE, reason="no strace")
def test_failing_sync_of_an_mbox_defers_and_cuts(home, call):
    path = home.home / "mbox"
    path.write_bytes(b"From old\n\nold\n\n")
    home.own(path)
    trace = home.top / "trace"
    trace.touch()
    home.own(trace)
    code, _, said = home.deliver("./mbox", prefix=[
        STRACE, "-qq", "-o", trace, "-P", path, f"--inject={call}:error=EIO:when=1"])
    assert "INJECTED" in trace.read_text()
    assert (code, said) == (111, "Unable to write ./mbox: Input/output error. (#4.3.0)\n")
    assert path.read_bytes() == b"From old\n\nold\n\n"


def test_fifo_in_place_of_an_mbox_defers(home):
    os.mkfifo(home.home / "mbox")
    home.own(home.home / "mbox")
    code, _, said = home.deliver("./mbox", timeout=20)
    assert code == 111 and said.startswith("Unable to open ./mbox")


# ---- Maildir ----

@pytest.mark.parametrize("sub", ["tmp", "new"])
def test_part_of_a_maildir_that_is_a_link_defers(home, sub):
    """FP3."""
    elsewhere = home.top / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    shutil.rmtree(home.home / "Maildir" / sub)
    (home.home / "Maildir" / sub).symlink_to(elsewhere)
    code, _, said = home.deliver()
    assert code == 111 and said.endswith("Temporary error on maildir delivery. (#4.3.0)\n")
    assert list(elsewhere.iterdir()) == []


def test_maildir_that_cannot_grow_stays_clean(home):
    assert home.job(message=MESSAGE, prefix=["prlimit", "--fsize=20"]) == (
        "Z", "Temporary error on maildir delivery. (#4.3.0)\n")
    assert home.copies() == [] and list((home.home / "Maildir/tmp").iterdir()) == []


def test_two_lines_for_one_maildir_are_two_copies(home):
    assert home.job("./Maildir/\n./Maildir/\n") == ("K", "did 2+0+0\n")
    assert len(home.copies()) == 2
    assert home.job("./Maildir/\n./Maildir/\n")[0] == "K"
    assert len(home.copies()) == 2


def test_repeated_delivery_finds_a_copy_that_was_read(home):
    assert home.job()[0] == "K"
    [file] = home.copies()
    file.rename(home.home / "Maildir/cur" / (file.name + ":2,S"))
    assert home.job()[0] == "K"
    assert len(home.copies()) == 1


@pytest.mark.parametrize("left", [b"", b"Return", b"\0" * 200], ids=["empty", "short", "nul"])
@pytest.mark.parametrize("folder", ["new", "cur"])
def test_repeated_delivery_replaces_what_a_power_cut_damaged(home, left, folder):
    assert home.job()[0] == "K"
    [file] = home.copies()
    whole = file.read_bytes()
    file.write_bytes(left[:len(whole)])
    if folder == "cur":
        file = file.rename(home.home / "Maildir/cur" / (file.name + ":2,S"))
    for _ in range(2):
        assert home.job(disks=[home.device()])[0] == "K"
        [now] = home.copies()
        assert now.read_bytes() == whole
        assert now.parent.name == "new"
        assert (now.name == file.name) == (folder == "new")
        if folder == "cur":
            break  # what nobody remembers the name of comes again
    assert not list((home.home / "Maildir/tmp").iterdir())


def trace_of(home, default, disks=None):
    trace = home.top / "trace"
    trace.touch()
    home.own(trace)
    home.job(default, prefix=[STRACE, "-f", "-qq", "-y", "-o", trace], disks=disks)
    return trace.read_text().splitlines()


def syncs_in(lines):
    return [n for n, line in enumerate(lines) if re.search(r"\bfsync\(", line)]


@pytest.mark.parametrize("default, synced", [("./Maildir/", ["/tmp/", "/new>"]), ("./mbox", ["/mbox>", "/home>"])])
@pytest.mark.skipif(not STRACE, reason="no strace")
def test_success_is_said_after_the_syncs(home, default, synced):
    lines = trace_of(home, default)
    said = [n for n, line in enumerate(lines) if "sendmsg(0<" in line]
    syncs = syncs_in(lines)
    assert len(said) == 1
    for part in synced:
        assert any(part in lines[n] for n in syncs), (part, [lines[n] for n in syncs])
    assert max(syncs) < said[0]


@pytest.mark.skipif(not STRACE, reason="no strace")
def test_where_one_sync_is_enough_it_comes_after_the_name(home):
    lines = trace_of(home, "./Maildir/", [1, home.device(), 2])
    [sync] = syncs_in(lines)
    [said] = [n for n, line in enumerate(lines) if "sendmsg(0<" in line]
    [named] = [n for n, line in enumerate(lines) if "renameat2(" in line]
    assert named < sync < said
    assert "/Maildir/new/" in lines[sync]


@pytest.mark.skipif(not STRACE, reason="no strace")
@pytest.mark.parametrize("disks", [[], [1, 2]])
def test_a_disk_that_is_not_listed_gets_every_sync(home, disks):
    syncs = syncs_in(trace_of(home, "./Maildir/", disks))
    assert len(syncs) == (1 if home.is_btrfs() else 2)


@pytest.mark.skipif(not STRACE, reason="no strace")
@pytest.mark.skipif(os.stat("/dev/shm").st_dev == os.stat("/var/tmp").st_dev, reason="one disk")
def test_a_maildir_on_another_disk_than_the_home_gets_every_sync(home):
    """What is known of the home's disk says nothing about that one's."""
    other = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        other.chmod(0o755)
        (home.home / "Maildir").rename(home.home / "Mail")
        shutil.move(home.home / "Mail", other / "M")
        for path in (other, other / "M", *(other / "M").iterdir()):
            home.own(path)
        (home.home / "Maildir").symlink_to(other / "M")
        for path in "./Maildir/", f"{other}/M/":
            assert len(syncs_in(trace_of(home, path, [home.device()]))) == 2
            [file] = (other / "M/new").iterdir()
            file.unlink()
    finally:
        shutil.rmtree(other)


@pytest.mark.skipif(not STRACE, reason="no strace")
@pytest.mark.parametrize("known", [False, True], ids=["posix", "journal"])
def test_failed_sync_takes_the_name_back_and_is_not_tried_again(home, known):
    disks = [home.device()] if known else []
    trace = home.top / "trace"
    trace.touch()
    home.own(trace)
    for n in range(1, 2 if known else 3):
        result = home.job(disks=disks, prefix=[STRACE, "-f", "-qq", "-o", trace,
                                               f"--inject=fsync:error=EIO:when={n}"])
        assert result == ("Z", "Temporary error on maildir delivery. (#4.3.0)\n")
        assert len(syncs_in(trace.read_text().splitlines())) == n
        assert home.copies() == []
        assert not list((home.home / "Maildir/tmp").iterdir())
    assert home.job(disks=disks)[0] == "K"
    assert len(home.copies()) == 1


@pytest.mark.skipif(not STRACE, reason="no strace")
@pytest.mark.parametrize("known", [False, True], ids=["posix", "journal"])
def test_killed_anywhere_and_repeated_leaves_one_copy(home, known):
    """SIGKILL before every system call of a Maildir delivery, then again."""
    disks = [home.device()] if known else []
    calls = {}
    for line in trace_of(home, "./Maildir/", disks):
        name = re.match(r"\d+\s+(\w+)\(", line)
        if name and name[1] not in ("execve", "exit_group"):
            calls[name[1]] = calls.get(name[1], 0) + 1
    assert {"fsync", "openat2", "sendmsg", "renameat2" if known else "unlinkat"} <= set(calls)
    points = [(name, n) for name, count in calls.items() for n in range(1, count + 1)
              if name in ("openat", "openat2", "write", "fsync", "link", "linkat", "renameat2", "rename", "unlink",
                          "unlinkat", "close", "sendmsg", "newfstatat", "fstat", "recvmsg", "chdir")]
    trace = home.top / "trace"
    for number, (name, n) in enumerate(points):
        id = 1700000001000000 + number
        before = len(home.copies())
        result = home.job(id=id, disks=disks, prefix=[STRACE, "-f", "-qq", "-o", trace,
                                         f"--inject={name}:signal=KILL:when={n}"])
        assert "killed by SIGKILL" in trace.read_text(), (name, n)
        # Behind its answer it closes, and waits for another job.
        assert result is None or name in ("close", "sendmsg") or (name, n) == ("recvmsg", 2)
        assert home.job(id=id, disks=disks)[0] == "K"
        assert len(home.copies()) == before + 1, (name, n)
    assert len(points) > 15


def test_killed_delivery_leaves_no_program_behind(home):
    """The spawner ends the group: qmail-local leads one."""
    peer = jobs.Peer([home.program, "--jobs"], preexec_fn=become)
    extra = b"".join(jobs.record(kind, os.fsencode(value)) for kind, value in (
        (jobs.USER, "box"), (jobs.HOME, home.home), (jobs.LOCAL, "box"), (jobs.DASH, ""),
        (jobs.EXT, ""), (jobs.DOMAIN, "h"), (jobs.DEFAULT, "|echo $$ >pid; sleep 60; true")))
    peer.send(*jobs.job(1, MESSAGE, b"s@x", [(3, b"box@h")], extra=extra))
    path = home.home / "pid"
    wait_for(lambda: path.exists() and path.read_text().strip(), 10, "the program")
    assert os.getpgid(int(path.read_text())) == peer.process.pid
    os.killpg(peer.process.pid, 9)
    peer.process.wait(10)
    peer.process.stderr.close()
    peer.sock.close()
