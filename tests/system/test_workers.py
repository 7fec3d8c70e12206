"""Resident qmail-locals: job after job, and nobody can tell.

A worker is compared with fresh processes over thousands of jobs, looked at
from outside after each, and mistreated in every way that a process can be.
"""

import fcntl
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import jobs
import processes
import test_dotqmail_model as model
from test_lspawn import FAKE_WORKER, GID, Instance, MESSAGE, ROOT, UID
from test_smtpd import cdb
from waiting import wait_for

JOBS = 600
SOAK_JOBS = 10000


# ---- one worker, thousands of jobs ----

SHARED_QUEUE = """#!/bin/sh
. "${0%/*}/current"
cat >"$FAKE_DIR/message"
cat <&1 >"$FAKE_DIR/envelope"
exit $FAKE_EXIT
"""


def state(pid):
    """What must be the same after each job."""
    fds = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    status = processes.status(pid)
    signals = {name: status[name] for name in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")}
    return {"fds": fds, "cwd": os.readlink(f"/proc/{pid}/cwd"), "umask": status["Umask"],
            "children": processes.children(pid), "limits": processes.read(pid, "limits"),
            "uid": status["Uid"], "groups": status["Groups"], **signals}


def private_kib(pid):
    total = 0
    for line in processes.read(pid, "smaps_rollup").splitlines():
        if line.startswith(("Private_Clean", "Private_Dirty")):
            total += int(line.split()[1])
    return total


class Resident(model.Runner):
    """A Runner whose jobs all go to one worker."""

    def __init__(self, bin):
        super().__init__(bin)
        shutil.copy(bin / "vdelivermail", self.top / "bin")
        (self.top / "fake").write_text(SHARED_QUEUE)
        self.env = {"PATH": os.environ["PATH"], "QMAILQUEUE": str(self.top / "fake"),
                    "DEFAULT": "from outside", "ZLAST": "z", "VALIJA_TEST_WORKER_STAYS": "1"}
        self.peer = self.start()
        self.jobs = 0
        self.first = None
        self.case = 0

    def start(self):
        return jobs.Peer([self.top / "bin/qmail-local", "--jobs"], env=self.env,
                         preexec_fn=model.become)

    def send(self, peer, home, message, sender, *, local="box", dash="", ext="", host="h",
             default="./Maildir/", number=1, **kw):
        extra = b"".join(jobs.record(kind, os.fsencode(value)) for kind, value in (
            (jobs.USER, "box"), (jobs.HOME, home), (jobs.LOCAL, local), (jobs.DASH, dash),
            (jobs.EXT, ext), (jobs.DOMAIN, host), (jobs.DEFAULT, default)))
        peer.send(*jobs.job(number, message, sender, [(3, b"ignored@x")], extra=extra, **kw))
        got, outcomes = peer.result()
        assert got == number
        return outcomes[3]

    def deliver(self, home, message, sender, **kw):
        """By the worker; then look whether it is as it was."""
        self.jobs += 1
        result = self.send(self.peer, home, message, sender, number=self.jobs, **kw)
        now = state(self.peer.process.pid)
        assert now["cwd"] == "/" and now["umask"] == "0077" and now["children"] == []
        self.first = self.first or now
        assert now == self.first
        return result

    def by_job(self, case):
        home, fake, _ = self.prepare(case)
        (self.top / "current").write_text(f"FAKE_DIR={fake} FAKE_EXIT={case.queue_exit}\n")
        letter, text = self.deliver(
            home, case.message, case.sender, local=case.local, dash=case.dash, ext=case.ext,
            host=case.host, default=case.aliasempty, as_memfd=case.seed % 2 == 1 or None,
            id=1700000000000000 + self.jobs)
        return {"K": 0, "D": 100, "Z": 111}[letter], text.encode("latin-1"), home, fake

    def next_case(self):
        self.case += 1
        case = model.Case(100000 + self.case)
        case.dry = False
        return case

    def environment(self, peer):
        """What a program gets."""
        home = self.top / "env"
        if not home.exists():
            home.mkdir()
            if ROOT:
                os.chown(home, UID, GID)
        send = self.deliver if peer is self.peer else lambda *a, **kw: self.send(peer, *a, **kw)
        assert send(home, MESSAGE, b"s@x", default="|env >env; cat >/dev/null")[0] == "K"
        lines = [line for line in (home / "env").read_text().splitlines()
                 if not line.startswith(("UFLINE=", "_="))]
        return sorted(lines)

    def close(self):
        self.peer.sock.close()
        code = self.peer.process.wait(30)
        self.peer.process.stderr.close()
        return code


class Domain:
    """A virtual domain's directory, as often as there are ways to deliver."""

    USERS = {  # name: (gid, quota, .qmail)
        "plain": (0, "NOQUOTA", None),
        "full": (0, "1000S,1C", None),
        "closed": (0x10, "NOQUOTA", None),
        "odd": (0, "what?", None),
        "forwards": (0, "NOQUOTA", "&a@x.test\nb@x.test\n"),
        "runs": (0, "NOQUOTA", "|echo said; cat >copy\n./Maildir/\n"),
        "refuses": (0, "NOQUOTA", "|echo no >&2; exit 100\n"),
        "later": (0, "NOQUOTA", "./Maildir/\n|exit 111\n"),
        "stops": (0, "NOQUOTA", "|exit 99\n./Maildir/\n"),
        "shouts": (0, "NOQUOTA", "|head -c 5000 /dev/zero | tr '\\0' x; exit 100\n"),
        "twice": (0, "NOQUOTA", "./Maildir/\n\n./Maildir/\n./mbox\n"),
        "lost": (0, "NOQUOTA", "./nowhere/\n"),
        "open": (0, "NOQUOTA", "&c@x.test\n"),
        "gone": (0, "NOQUOTA", None),
    }

    def __init__(self, top, program):
        self.top = top
        top.mkdir()
        entries = []
        for name, (gid, quota, dot) in self.USERS.items():
            home = top / name
            for sub in ("", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/tmp"):
                (home / sub).mkdir()
            if name == "gone":
                shutil.rmtree(home / "Maildir")
            if dot is not None:
                (home / ".qmail").write_text(dot)
            entries.append((name.encode(), f"x:0:{gid}::{home}:{quota}".encode()))
        (top / "vpasswd.cdb").write_bytes(cdb(entries))
        self.line = "|{} '' {}\n"
        self.program = program
        for path in [top, *top.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
            if ROOT:
                os.chown(path, UID, GID)
        (top / "open/.qmail").chmod(0o666)

    def found(self):
        """Everything below, without what a name owes to the clock."""
        seen = {}
        for path in sorted(self.top.rglob("*")):
            name = str(path.relative_to(self.top))
            if not path.is_file() or name == "vpasswd.cdb":
                continue
            text = path.read_bytes().replace(os.fsencode(str(self.top)), b"TOP")
            if "/new/" in name:
                name = name.split("/new/")[0]
                assert path.name.endswith(f",S={path.stat().st_size}")
            if name.endswith("mbox"):
                text = b"\n".join(l for l in text.split(b"\n") if not l.startswith(b"From "))
            seen.setdefault(name, []).append(text)
        return {name: sorted(texts) for name, texts in seen.items()}


@pytest.fixture
def resident(bin):
    it = Resident(bin)
    yield it
    it.peer.process.kill()
    it.peer.process.wait()
    subprocess.run(["chmod", "-R", "u+rwx", it.top])
    shutil.rmtree(it.top)


def domain_job(rnd, domain):
    user = rnd.choice([*Domain.USERS, *Domain.USERS, "nobody", "plain-ext", "PLAIN", "-", "nobody-x", ""])
    what = rnd.choice(["bounce-no-mailbox", "bounce-no-mailbox", "delete", "x@y.test",
                       f"{domain}/plain", "nonsense"])
    message = rnd.choice([MESSAGE, MESSAGE, MESSAGE + b"y" * 70000 + b"\n", b"",
                          b"Delivered-To: %s@V.test\n\n" % user.encode(),
                          b"Delivered-To: %s@v.test\n\n" % user.encode()])
    rest = rnd.choice(["", "", "", "./plain/Maildir/\n", "&z@x.test\n", "|echo more\n"])
    return user, what, message, rest


def run_domain_job(resident, ways, rnd, number):
    """The same by the worker itself, and by the program it would be."""
    seed = rnd.random()
    results = []
    for deliver, line, domain in ways:
        user, what, message, rest = domain_job(random.Random(seed), domain.top)
        fake = resident.top / f"queue{len(results)}"
        shutil.rmtree(fake, ignore_errors=True)
        fake.mkdir()
        fake.chmod(0o777)
        (resident.top / "current").write_text(f"FAKE_DIR={fake} FAKE_EXIT=0\n")
        letter, text = deliver(
            domain.top, message, b"s@x.test", local=f"v.test-{user}", ext=user, host="v.test",
            id=1700000000000000 + number,
            default=line.format(domain.program, what) + rest)
        text = text.replace(str(domain.top), "TOP")
        queued = {p.name: p.read_bytes() for p in fake.iterdir()}
        results.append((letter, model.log_lines(text.encode()), queued))
    assert results[0] == results[1], (user, what, rest)
    if number % 50 == 0:
        assert ways[0][2].found() == ways[1][2].found()
    return results[0][0]


def run_many(resident, count):
    fresh = resident.start()
    domains = [Domain(resident.top / name, resident.top / "bin/vdelivermail") for name in ("v1", "v2")]
    # Both on workers; the shell is told to do the second.
    ways = [(resident.deliver, "|{} '' {}\n", domains[0]),
            (resident.deliver, "|exec {} '' {}\n", domains[1])]
    rnd = random.Random(4)
    want = resident.environment(fresh)
    letters, settled, number = {}, None, 0
    while resident.jobs < count:
        number += 1
        if number % 3 == 0:
            letter = run_domain_job(resident, ways, rnd, number)
            letters[letter] = letters.get(letter, 0) + 1
        elif number % 50 == 1:
            assert resident.environment(resident.peer) == want
        else:
            model.check(resident, resident.next_case(), resident.by_job)
        if resident.jobs >= count // 2 and settled is None:
            settled = private_kib(resident.peer.process.pid)
    assert min(letters.get(letter, 0) for letter in "KZD") > count // 100, letters
    assert domains[0].found() == domains[1].found()
    assert resident.environment(resident.peer) == want
    # Sanitizers keep what was freed for a while.
    if b"__asan_init" not in (resident.top / "bin/qmail-local").read_bytes():
        assert private_kib(resident.peer.process.pid) <= settled + 32
    fresh.process.kill()
    fresh.process.wait()
    fresh.sock.close()
    fresh.process.stderr.close()
    assert resident.close() == 0


def test_one_worker_is_as_many_fresh_ones(resident):
    run_many(resident, JOBS)


@pytest.mark.soak
def test_one_worker_is_as_many_fresh_ones_for_long(resident):
    run_many(resident, SOAK_JOBS)


# ---- qmail-lspawn and its workers ----

@pytest.fixture
def instance(bin):
    it = Instance(bin)
    yield it
    it.remove()


def workers(instance):
    try:
        return [pid for pid in processes.children(instance.peer.process.pid)
                if processes.status(pid)["State"][0] != "Z"]
    except (FileNotFoundError, ProcessLookupError):
        return []


def the_worker(instance):
    [pid] = wait_for(lambda: workers(instance), 10, "a worker")
    return pid


def is_gone(pid):
    try:
        return processes.status(pid)["State"][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_one_worker_takes_job_after_job(instance):
    seen = set()
    for n in range(1000):
        assert instance.deliver(b"box@h", id=1700000000000000 + n)[0] == "K"
        seen.update(workers(instance))
    assert len(seen) == 1
    wait_for(lambda: not workers(instance), 10, "its end after the thousandth")
    assert instance.deliver(b"box@h", id=1700000000009999)[0] == "K"
    assert the_worker(instance) not in seen
    assert len(instance.new()) == 1001
    assert instance.peer.close()[0] == 0


def test_a_failure_for_good_is_an_answer_like_any_other(instance):
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    assert instance.deliver(b"box-nobody@h")[0] == "D"
    assert workers(instance) == [pid]


@pytest.mark.parametrize("dot, letter", [("|true\n", "K"), ("|exit 100\n", "D"), ("|exit 99\n", "K"),
                                         ("./nowhere/\n", "Z"), ("|sleep 99 &\n", "K")])
def test_program_and_deferral_end_the_worker(instance, dot, letter):
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    instance.qmail(".qmail-x", dot)
    assert instance.deliver(b"box-x@h")[0] == letter
    wait_for(lambda: is_gone(pid), 10, "its end")
    assert instance.deliver(b"box@h", id=1700000000000001)[0] == "K"
    assert the_worker(instance) != pid


def test_nothing_of_a_job_is_there_for_the_next(instance):
    instance.qmail(".qmail-one-default", "./Maildir/\n")
    instance.qmail(".qmail-two", "|env >env; ls /proc/self/fd >fds; pwd >pwd; umask >mask\n")
    (instance.mailbox / ".qmail-one-default-owner").touch()
    instance.start(env={"PATH": os.environ["PATH"]})
    assert instance.deliver(b"box-one-secret@one.test", sender=b"secret@one.test")[0] == "K"
    pid = the_worker(instance)
    assert instance.deliver(b"box-two@two.test")[0] == "K"
    env = (instance.mailbox / "env").read_text()
    assert "secret" not in env and "one" not in env and "DEFAULT" not in env
    assert (instance.mailbox / "fds").read_text().split() == ["0", "1", "2", "3"]
    assert (instance.mailbox / "mask").read_text() == "0077\n"
    wait_for(lambda: is_gone(pid), 10, "the end of the same worker")


def settled(*paths):
    """So old that every change of them shows."""
    wait_for(lambda: all(os.stat(p).st_ctime < time.time() - 2.2 for p in paths), 10, "files to age")


def test_files_that_are_kept_in_mind_are_obeyed_as_they_are(instance):
    number = iter(range(100))

    def deliver():
        return instance.deliver(b"box-x@h", id=1700000000000000 + next(number))

    default = instance.mailbox / ".qmail-default"
    instance.qmail(".qmail-default", "./one/mbox\n")
    for name in ("one", "two"):
        (instance.mailbox / name).mkdir()
        instance.own(instance.mailbox / name)
    one, two = (instance.mailbox / name / "mbox" for name in ("one", "two"))
    settled(default)
    assert [deliver()[0] for _ in range(3)] == ["K"] * 3
    pid = the_worker(instance)
    assert one.read_bytes().count(b"\nline") == 3
    # Written in place, of the same length.
    with open(default, "r+") as file:
        file.write("./two/mbox\n")
    assert deliver()[0] == "K" and two.read_bytes().count(b"\nline") == 1
    settled(default)
    assert [deliver()[0] for _ in range(2)] == ["K"] * 2 and two.read_bytes().count(b"\nline") == 3
    # Another file of the same length, times and mode.
    times = os.stat(default)
    instance.qmail(".new", "./one/mbox\n")
    os.utime(instance.mailbox / ".new", ns=(times.st_atime_ns, times.st_mtime_ns))
    os.rename(instance.mailbox / ".new", default)
    assert deliver()[0] == "K" and one.read_bytes().count(b"\nline") == 4
    # A file that goes before it, and goes again.
    settled(default)
    assert deliver()[0] == "K" and one.read_bytes().count(b"\nline") == 5
    instance.qmail(".qmail-x", "./two/mbox\n")
    assert deliver()[0] == "K" and two.read_bytes().count(b"\nline") == 4
    (instance.mailbox / ".qmail-x").unlink()
    assert deliver()[0] == "K" and one.read_bytes().count(b"\nline") == 6
    assert workers(instance) == [pid]
    # One bit of its mode.
    default.chmod(0o700)
    assert deliver() == ("Z", "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)\n")
    default.chmod(0o620)
    assert deliver() == ("Z", "Uh-oh: .qmail file is writable. (#4.7.0)\n")
    default.unlink()
    assert deliver()[0] == "D"


def test_new_binary_is_used_at_once(instance):
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    program = instance.home / "bin/qmail-local"
    shutil.copy(program, f"{program}.new")
    os.chmod(f"{program}.new", 0o711)
    os.rename(f"{program}.new", program)
    assert instance.deliver(b"box@h", id=1700000000000001)[0] == "K"
    wait_for(lambda: is_gone(pid), 10, "the end of the old one")
    assert the_worker(instance) != pid


def test_idle_worker_ends(instance):
    instance.start(env={**os.environ, "VALIJA_TEST_IDLE_MS": "200"})
    assert instance.deliver(b"box@h")[0] == "K"
    wait_for(lambda: not workers(instance), 10, "its end")
    assert instance.deliver(b"box@h", id=1700000000000001)[0] == "K"


@pytest.mark.soak
def test_stopped_worker_does_not_hold_the_end(instance):
    assert instance.deliver(b"box@h")[0] == "K"
    os.kill(the_worker(instance), signal.SIGSTOP)
    assert instance.peer.close()[0] == 0


def test_worker_killed_while_idle_costs_nothing(instance):
    for n in range(5):
        assert instance.deliver(b"box@h", id=1700000000000000 + n)[0] == "K"
        pid = the_worker(instance)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: is_gone(pid), 10, "its death")
    assert len(instance.new()) == 5


def test_job_that_was_not_begun_goes_to_a_fresh_worker(instance):
    """The kernel knows: the dead one had not read it."""
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: processes.status(pid)["State"][0] == "T", 10, "its stop")
    instance.peer.send(*jobs.job(2, MESSAGE, b"s@x", [(0, b"box@h")], id=1700000000000002, as_memfd=True))
    sock = os.readlink(f"/proc/{pid}/fd/0")
    assert sock.startswith("socket:")
    wait_for(lambda: len(os.listdir(f"/proc/{instance.peer.process.pid}/fd")) > 6, 10, "the job")
    instance.peer.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        instance.peer.result()
    instance.peer.sock.settimeout(30)
    os.kill(pid, signal.SIGKILL)
    assert instance.peer.result() == (2, {0: ("K", "did 1+0+0\n")})
    assert len(instance.new()) == 2


def hold_mbox(instance):
    """A delivery to ./mbox now waits until we let go."""
    instance.qmail(".qmail-mbox", "./mbox\n")
    file = open(instance.mailbox / "mbox", "w")
    instance.own(instance.mailbox / "mbox")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def begin_held_job(instance):
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    file = hold_mbox(instance)
    instance.peer.send(*jobs.job(2, MESSAGE, b"s@x", [(0, b"box-mbox@h")]))
    wait_for(lambda: os.readlink(f"/proc/{pid}/cwd") == str(instance.mailbox), 10, "the job")
    return pid, file


def test_worker_killed_mid_job_defers(instance):
    pid, file = begin_held_job(instance)
    os.kill(pid, signal.SIGKILL)
    assert instance.peer.result() == (2, {0: ("Z", "qmail-local crashed.\n")})
    file.close()
    assert instance.deliver(b"box-mbox@h", number=3)[0] == "K"


@pytest.mark.parametrize("stopped", [False, True])
def test_hung_worker_is_ended_in_time(instance, stopped):
    (instance.home / "control/timeoutdelivery").write_text("1\n")
    pid, file = begin_held_job(instance)
    if stopped:
        os.kill(pid, signal.SIGSTOP)
    letter, text = instance.peer.result()[1][0]
    assert letter == "Z" and "took longer than 1 seconds" in text
    assert is_gone(pid)
    file.close()
    assert instance.deliver(b"box-mbox@h", number=3)[0] == "K"


def test_spawner_killed_ends_idle_and_busy_workers(instance):
    pid, file = begin_held_job(instance)
    assert instance.deliver(b"box@h", number=9, id=1700000000000009)[0] == "K"
    both = wait_for(lambda: len(workers(instance)) == 2 and workers(instance), 10, "two workers")
    instance.peer.process.kill()
    instance.peer.process.wait()
    file.close()
    for worker in both:
        wait_for(lambda: is_gone(worker), 10, "its end")


def test_leaking_worker_is_not_kept(instance):
    instance.start(env={**os.environ, "VALIJA_TEST_WORKER_LEAKS": "1"})
    for n in range(3):
        assert instance.deliver(b"box@h", id=1700000000000000 + n)[0] == "K"
        wait_for(lambda: not workers(instance), 10, "its end")


@pytest.mark.root
def test_workers_are_never_more_than_jobs_could_be(instance):
    import resource
    lines = ""
    instance.allow(f"100-60000\n{instance.home}\n")
    for n in range(17):
        home = instance.home / f"home{n}"
        home.mkdir()
        (home / ".qmail").write_text("./mbox\n")
        for path in (home, home / ".qmail"):
            os.chown(path, UID + n, GID)
        lines += f"=u{n}:u{n}:{UID + n}:{GID}:{home}:::\n"
    instance.assign(lines)
    instance.peer = jobs.Peer([instance.home / "bin/qmail-lspawn", "./Maildir/"],
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (72, 72)))
    assert instance.peer.hello() == 14
    for n in [*range(17), *range(17)]:
        letter, text = instance.deliver(b"u%d@h" % n)
        assert letter == "K", text
        wait_for(lambda: len(workers(instance)) <= 14, 10, "the end of one")
        assert (instance.home / f"home{n}/mbox").stat().st_uid == UID + n
    uids = {processes.status(pid)["Uid"].split()[0] for pid in workers(instance)}
    # Those that waited longest went; some answered in the same millisecond.
    assert str(UID + 16) in uids and len(uids) == 14
    assert instance.peer.close()[0] == 0


@pytest.mark.root
def test_group_is_part_of_the_key(instance):
    instance.allow(f"{UID}\n{instance.home}\n")
    instance.assign(f"=a:box:{UID}:{GID}:{instance.mailbox}:-::\n"
                    f"=b:box:{UID}:{GID + 1}:{instance.mailbox}:-::\n")
    instance.qmail(".qmail-", "./mbox\n")
    assert instance.deliver(b"a@h")[0] == "K"
    assert instance.deliver(b"b@h")[0] == "K"
    groups = [processes.status(pid)["Groups"].split() for pid in workers(instance)]
    assert sorted(groups) == [[str(GID)], [str(GID + 1)]]


def test_user_cannot_look_into_his_worker(instance):
    instance.start(env={**os.environ, "VALIJA_TEST_STRICT": "1"})
    assert instance.deliver(b"box@h")[0] == "K"
    pid = the_worker(instance)
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0
    done = subprocess.run(["cat", f"/proc/{pid}/environ"], preexec_fn=model.become, capture_output=True)
    assert done.returncode != 0 and b"Permission denied" in done.stderr


SAID_TOO_MUCH = FAKE_WORKER.split("sock.recv")[0] + """
STAYS = record(33, b"")
number = 0
def job():
    global number
    packet = sock.recv(200000)
    at = 0
    while at < len(packet):
        kind, size = struct.unpack_from("<QQ", packet, at)
        if kind == 3:
            number, = struct.unpack_from("<Q", packet, at + 16)
        at += 16 + size
    return len(packet)
if job():
    sock.send(result(number, 0, b'K', b'first') + STAYS)
BODY
"""


@pytest.mark.parametrize("body, want", [
    ("sys.exit(0)", "K first"),
    ("os.kill(os.getpid(), 9)", "K first"),
    ("sock.send(b'unasked')\njob()", "K first"),
    ("[sock.send(result(number, 0, b'D', b'again')) for _ in range(3)]\njob()", "K first"),
    ("job()\nsys.exit(0)", "Z qmail-local crashed.\n"),
    ("job()\nsys.exit(111)", "Z Unable to run qmail-local.\n"),
    ("job()\nos.kill(os.getpid(), 9)", "Z qmail-local crashed.\n"),
    ("job()\nsock.send(b'garbage')", "Z qmail-local said something odd.\n"),
    ("job()\nsock.send(result(number - 1, 0, b'K', b'of before'))", "Z qmail-local said something odd.\n"),
    ("job()\nsock.send(result(number, 0, b'K', b'second'))", "K second"),
    ("job()\nsock.send(result(number, 9, b'K', b'else'))", "Z No outcome was reported.\n"),
    ("job()\nsock.send(result(number, 0, b'D', b'third') + STAYS)\njob()", "D third"),
])
def test_whatever_a_kept_worker_says_there_is_one_outcome(instance, body, want):
    path = instance.home / "bin/qmail-local"
    path.unlink()
    path.write_text(SAID_TOO_MUCH.replace("BODY", body))
    path.chmod(0o755)
    peer = instance.start()
    peer.send(*jobs.job(1, MESSAGE, b"s@x", [(0, b"box@h")]))
    assert peer.result() == (1, {0: ("K", "first")})
    if not body.startswith("job"):
        wait_for(lambda: not workers(instance), 10, "its end")
    peer.send(*jobs.job(2, MESSAGE, b"s@x", [(0, b"box@h")]))
    letter, text = want.split(" ", 1)
    assert peer.result() == (2, {0: (letter, text)})
    assert peer.close()[0] == 0
