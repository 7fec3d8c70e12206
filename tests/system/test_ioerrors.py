"""Failing system calls: temporary failures, and recovery by itself.

As in test_kill.py a program is put behind a wrapper that, once, runs it
under strace. Here its n-th call of some kind fails: EIO, ENOSPC, EDQUOT or
EROFS of what touches files, EAGAIN of fork, ENOMEM of mmap and brk, EINTR of
read, write and poll. Afterwards the queue must become empty within 60 s, the
oracle judges, the sender has no bounce that it should not have, and daemons
that were running still run.
"""

import collections
import contextlib
import os
import random
import re
import resource
import signal
import smtplib
import stat
import subprocess
import time

import pytest

from daemontools import cpu_ticks, keeper, make_service, status  # noqa: F401
from house import DOMAIN
from oracle import Judge
from test_kill import (DAEMONS, MANY, OF_THE_LOG, Wrapped, exercise_log, points,
                       restart, settle)
from queuefile import FAILED
from spawners import Send
from waiting import Progress, wait_for

WRITING = {"write", "pwrite64", "pwritev", "writev", "fsync", "fdatasync",
           "rename", "renameat", "renameat2", "link", "linkat", "unlink",
           "unlinkat", "open", "openat", "openat2", "ftruncate", "fchmod"}
READING = {"close", "read", "pread64", "getdents64", "fstat", "newfstatat"}
FILE_CALLS = WRITING | READING
FORKS = {"clone", "clone3", "fork", "vfork"}
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS")


def creations(trace):
    """(call, n) of every open in it that may create a file."""
    found = set()
    count = collections.Counter()
    for line in trace.splitlines():
        match = re.match(r"(\d+ +)?(open|openat|openat2)\(", line)
        if match:
            count[match.groups()] += 1
            if "O_CREAT" in line:
                found.add((match[2], count[match.groups()]))
    return found


def pipes_closed(trace):
    """(call, n) of every close of a pipe or socket, for which strace named
    the descriptors. A close that strace lets fail is not made, and its other
    end would wait for ever; the kernel's closes whatever it says.
    """
    found = set()
    count = collections.Counter()
    for line in trace.splitlines():
        match = re.match(r"(\d+ +)?close\(\d+(?:<(pipe|socket|UNIX)?)?", line)
        if match:
            count[match[1]] += 1
            if match[2]:
                found.add(("close", count[match[1]]))
    return found


def faults(counts, creating, never, program):
    """(call, n, error) of all that can happen. A full disk can be read."""
    for call, n in points({call: n for call, n in counts.items()
                           if call in FILE_CALLS}, program):
        if (call, n) in never:
            continue
        reads = call in READING or (
            call.startswith("open") and (call, n) not in creating)
        for error in ERRORS[:1] if reads else ERRORS:
            yield call, n, error


# A daemon that has said this has started: from here on it may not exit.
STARTED = {"qmail-queued": "listening", "qmail-send": "running\\n",
           "qmail-lspawn": "sendmsg(0", "qmail-rspawn": "sendmsg(0"}


@pytest.fixture(scope="module")
def victim(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()


def main_pid(trace):
    match = re.match(r"(\d+) ", trace)
    return int(match.group(1)) if match else None


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def recorded(house, program, wrapped, oracle):
    """The faults of one run without a fault."""
    run(house, program, oracle, wrapped, "-y")
    settle(house)
    counts = wait_for(wrapped.counts, 10, f"a trace of {program}")
    if program in OF_THE_LOG:
        assert OF_THE_LOG[program] <= set(counts), counts
    return list(faults(counts, creations(wrapped.text()),
                       pipes_closed(wrapped.text()), program))


def renew(house, program):
    """Restart a daemon and see the new one: a later TERM is not for it."""
    if program not in DAEMONS:
        return

    # Not the spawners: who is not root cannot tell them apart.
    service = DAEMONS[program]

    def running():
        return set(house.pids(service) + house.pids(f"{service}.real"))
    old = wait_for(running, 20, service)
    restart(house, service)
    wait_for(lambda: running() and not running() & old, 20, f"a new {service}")


def run(house, program, oracle, wrapped, *options, children=True):
    """Run the program with these options of strace; give it work."""
    if program in OF_THE_LOG:
        exercise_log(house, program, oracle, wrapped, options)
        return
    wrapped.arm(*options, children=children)
    if program in ("qmail-local", "vdelivermail"):
        end_idle_workers(house)
    if program in DAEMONS:
        renew(house, program)
        wait_for(lambda: not wrapped.armed(), 20, f"{program} to start")
    oracle.send()


def check_alive(program, trace):
    """A daemon that had started when the fault struck is still there."""
    at = trace.find("(INJECTED)")
    if program not in STARTED or STARTED[program] not in trace[:at]:
        return
    line = trace[trace.rfind("\n", 0, at) + 1:at]
    pid = main_pid(trace)
    if pid is None:
        pid = None
    elif re.match(rf"{pid} ", line):
        assert alive(pid), f"{program} exited: {line}\n{trace[at - 2000:]}"


def experiment(house, program, oracle, wrapped, *faults, children=True, once=False):
    """True when the fault struck. once: that was all, also for its children."""
    options = []
    for fault in faults:
        options += ["-e", f"inject={fault}"]
    try:
        run(house, program, oracle, wrapped, *options, children=children)
        settle(house, wrapped if once else None)
    except AssertionError as error:
        raise AssertionError(f"{program} {faults}: {error}\n"
                             f"{house.story()}") from error
    trace = wrapped.text()
    wrapped.disarm()
    struck = "(INJECTED)" in trace
    if struck:
        check_alive(program, trace)
    try:
        oracle.judge()
    except AssertionError as error:
        raise AssertionError(f"{program} {faults}: {error}") from error
    return struck


def clean_boxes(house):
    for user in ("luis", "ana"):
        for folder in ("new", "cur"):
            for path in house.maildir(user).joinpath(folder).iterdir():
                path.unlink()


SPARE_CALLS = 6  # of a sample


def fail_everywhere(house, program, sample):
    clean_boxes(house)
    oracle = Judge(house)
    wrapped = Wrapped(house, program)
    struck = missed = 0
    failures = []
    try:
        chosen = recorded(house, program, wrapped, oracle)
        if sample:
            # A resident's calls are not the same each time: one that is not
            # met again says nothing, and another takes its place.
            chosen = random.Random(program).sample(
                chosen, min(len(chosen), sample + SPARE_CALLS))
        assert chosen
        progress = Progress(f"errors of {program}", len(chosen))
        for call, n, error in chosen:
            if sample and struck + len(failures) >= sample:
                break
            progress.step(f"({call} {n} {error})")
            if len(oracle.accepted) > MANY:
                # Reading all of them each time would take longer and longer.
                clean_boxes(house)
                oracle = Judge(house)
            try:
                hit = experiment(house, program, oracle, wrapped,
                                 f"{call}:error={error}:when={n}", once=True)
            except AssertionError as wrong:
                # One more fault must not hide behind this one.
                failures.append(str(wrong))
                print(f"failed: {call} {n} {error}: {wrong}", flush=True)
                # Nor make all that follow fail.
                wrapped.disarm()
                if program in DAEMONS:
                    house.svc("-k", DAEMONS[program])
                    settle(house)
                oracle = Judge(house)
                continue
            struck += hit
            missed += not hit
    finally:
        # What still runs under strace has had its fault.
        wrapped.disarm()
        wrapped.unwrap()
    assert not failures, "\n====\n".join(failures)
    if sample:
        assert struck >= sample, (struck, missed)
    else:
        assert struck >= 0.7 * (struck + missed), (struck, missed)
    wait_for(oracle.send, 20, "mail to be accepted again")
    settle(house)
    oracle.judge()
    assert not house.queue_files("bad")
    print(f"{program}: {struck} of {struck + missed} faults struck", flush=True)


PROGRAMS = ["qmail-smtpd", "qmail-queued", "qmail-send", "qmail-lspawn",
            "qmail-local", "vdelivermail"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_errors_at_sampled_calls(victim, program):
    fail_everywhere(victim, program, 1 if program in DAEMONS else 8)


@pytest.mark.soak
@pytest.mark.parametrize("program", PROGRAMS)
def test_errors_at_every_call(victim, program):
    fail_everywhere(victim, program, None)


# ---- a failed sync is never a success ----

SYNCS = [("qmail-queued", "fsync:error=EIO:when=1"),
         ("qmail-local", "fsync:error=EIO:when=1"),
         ("qmail-local", "fsync:error=EDQUOT:when=2"),
         ("vdelivermail", "fsync:error=ENOSPC:when=1"),
         ("vdelivermail", "fsync:error=EIO:when=2")]


@pytest.mark.parametrize("program,fault", SYNCS)
def test_a_failed_sync_is_no_success(victim, program, fault):
    """The writer of the Maildir defers, the queue refuses; later all is well."""
    clean_boxes(victim)
    oracle = Judge(victim)
    wrapped = Wrapped(victim, program)
    try:
        before = victim.log().count("deferral:")
        wrapped.arm("-e", f"inject={fault}")
        end_idle_workers(victim)
        renew(victim, program)
        ok = oracle.send()
        wait_for(lambda: "(INJECTED)" in wrapped.text(), 20, "the fault")
        if program == "qmail-queued":
            assert not ok and oracle.codes == [451], oracle.codes
            assert "cannot sync a message" in victim.log("qmail-queued")
        else:
            wait_for(lambda: victim.log().count("deferral:") > before, 20,
                     f"a deferral\n{victim.story()}")
            assert ok
        settle(victim)
        oracle.judge()
    finally:
        wrapped.disarm()
        wrapped.unwrap()
        renew(victim, program)


# ---- interrupted, and with less than they want ----

INTERRUPTED = [f"{calls}:error=EINTR:when={when}"
               for calls, when in (("read", "1+3"), ("write", "1+3"),
                                   ("poll,ppoll", "1+2"),
                                   ("recvmsg,recvfrom,sendmsg,sendto", "1+3"),
                                   ("openat,fsync,flock", "2+3"))]


@pytest.mark.parametrize("program", PROGRAMS)
def test_interrupted_calls_are_nothing(victim, program):
    """EINTR again and again. It is never a reason to refuse or to defer."""
    clean_boxes(victim)
    oracle = Judge(victim)
    wrapped = Wrapped(victim, program)
    # open and fsync are not interrupted on any local file system.
    faults = [f for f in INTERRUPTED if not f.startswith("openat")]
    deferred = victim.log().count("deferral:")
    try:
        # The shell under qmail-local is not ours to judge.
        assert experiment(victim, program, oracle, wrapped, *faults,
                          children=program != "qmail-local")
    finally:
        wrapped.disarm()
        wrapped.unwrap()
        renew(victim, program)
    assert set(oracle.codes) == {250}, oracle.codes
    assert victim.log().count("deferral:") == deferred, victim.log()[-3000:]


FORKING = ["qmail-lspawn", "qmail-send", "qmail-queued"]


@pytest.mark.parametrize("program", FORKING)
def test_no_process_is_a_temporary_failure(victim, program):
    clean_boxes(victim)
    oracle = Judge(victim)
    wrapped = Wrapped(victim, program)
    # qmail-queued needs one committer to begin with.
    when = "2..8" if program == "qmail-queued" else "1..2"
    try:
        assert experiment(victim, program, oracle, wrapped,
                          f"clone,clone3,fork,vfork:error=EAGAIN:when={when}")
    finally:
        wrapped.disarm()
        wrapped.unwrap()
        renew(victim, program)
    words = {"qmail-lspawn": "Unable_to_fork",
             "qmail-send": "unable to start qmail-queue, will try later"}
    if program in words:
        assert words[program] in victim.log(), victim.log()[-2000:]


@pytest.mark.parametrize("program", ["qmail-smtpd", "qmail-queued", "qmail-local",
                                     "vdelivermail"])
def test_no_memory_is_a_temporary_failure(victim, program):
    """Three refusals in a row from some call on; residents wait."""
    no_memory(victim, program, 1 if program in DAEMONS else 3)


@pytest.mark.soak
@pytest.mark.parametrize("program", PROGRAMS)
def test_no_memory_at_every_call(victim, program):
    no_memory(victim, program, None)


def no_memory(house, program, limit):
    # A brk that fails returns no error, but what the break still is.
    clean_boxes(house)
    oracle = Judge(house)
    wrapped = Wrapped(house, program)
    struck = 0
    try:
        for n in range(1, 31) if limit is None else range(2, 2 + limit):
            struck += experiment(house, program, oracle, wrapped,
                                 f"mmap:error=ENOMEM:when={n}..{n + 2}",
                                 f"brk:retval=0:when={n + 1}..{n + 3}")
    finally:
        # What still runs under strace has had its fault.
        wrapped.disarm()
        wrapped.unwrap()
    assert struck


def test_a_resident_waits_for_memory(victim):
    """Both ways to get memory refused once it runs: it says so and stays."""
    for program in ("qmail-queued", "qmail-send", "qmail-lspawn"):
        clean_boxes(victim)
        oracle = Judge(victim)
        pid = process(victim, program)
        size = int(open(f"/proc/{pid}/statm").read().split()[0]) * \
            resource.getpagesize()
        with limited(pid, "as", size):
            # Large enough that it needs more than it has.
            oracle.send(b"x" * 60000 + b"\r\n")
            time.sleep(0.3)
        settle(victim)
        oracle.judge()
        assert alive(pid), f"{program} died: {victim.story()}"


# ---- no descriptors, no spinning ----

def ids_of(pid):
    text = open(f"/proc/{pid}/status").read()
    return [int(re.search(rf"{name}:\s+(\d+)", text)[1])
            for name in ("Uid", "Gid", "PPid")]


@contextlib.contextmanager
def limited(pid, name, soft):
    """A soft limit for a running process, set as its own user."""
    uid, gid, _ = ids_of(pid)
    how = {"user": uid, "group": gid, "extra_groups": []}
    if os.geteuid() != 0:
        how = {}

    def prlimit(value):
        subprocess.run(["prlimit", f"--pid={pid}", f"--{name}={value}:"],
                       check=True, **how)

    row = re.search(rf"^{name_in_proc(name)} +(\S+)",
                    open(f"/proc/{pid}/limits").read(), re.M)
    prlimit(soft)
    try:
        yield
    finally:
        if alive(pid):
            prlimit(row[1])


def name_in_proc(name):
    return {"nofile": "Max open files", "fsize": "Max file size",
            "as": "Max address space"}[name]


def no_descriptors(pid):
    """From now on this process cannot open anything."""
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    lowest = next(n for n in range(100000) if n not in taken)
    return limited(pid, "nofile", lowest)


def process(house, program):
    """The first one of its kind: no committer, no child."""
    found = processes(house, program)
    assert found, f"no {program}"
    return found[0]


def processes(house, program):
    found = []

    def parent_and_name(pid):
        text = open(f"/proc/{pid}/stat").read()
        name = text[text.index("(") + 1:text.rindex(")")]
        return int(text[text.rindex(")") + 1:].split()[1]), name

    def is_ours(pid):
        while pid > 1 and pid != house.svscan.pid:
            pid, _ = parent_and_name(pid)
        return pid > 1

    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            pid = int(entry)
            parent, name = parent_and_name(pid)
            names = (program, f"{program}.real"[:15])  # it was wrapped once
            if name not in names or parent_and_name(parent)[1] in names or \
                    not is_ours(pid):
                continue
            line = open(f"/proc/{pid}/cmdline", "rb").read()
            if program != "tcpserver" or b"qmail-smtpd" in line:
                found.append(pid)
    return found


def end_idle_workers(house):
    """The next job is for a new one, which knows of wrappers and limits."""
    for pid in processes(house, "qmail-local"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not processes(house, "qmail-local"), 20, "idle workers to end")


@pytest.mark.parametrize("program", [
    "qmail-queued", "qmail-send", "tcpserver",
    # Nobody else may count its descriptors.
    pytest.param("qmail-lspawn", marks=pytest.mark.root)])
def test_without_descriptors_it_neither_dies_nor_spins(victim, program):
    clean_boxes(victim)
    oracle = Judge(victim)
    pid = process(victim, program)
    with no_descriptors(pid):
        began = cpu_ticks(pid)
        if program in ("qmail-queued", "tcpserver"):
            # The sender has to wait, or is sent away.
            with pytest.raises((OSError, smtplib.SMTPException, AssertionError)):
                with smtplib.SMTP("127.0.0.1", victim.smtp_port, timeout=1) as c:
                    c.ehlo()
                    c.mail(f"ana@{DOMAIN}")
                    c.rcpt(f"luis@{DOMAIN}")
                    assert c.docmd("DATA")[0] == 354
        else:
            oracle.send()
            time.sleep(1)
        used = cpu_ticks(pid) - began
        assert used < 30, f"{used} ticks of CPU in a second"
        assert alive(pid)
    assert wait_for(oracle.send, 20, "mail to be accepted")
    settle(victim)
    oracle.judge()
    assert alive(pid)


def test_short_writes_leave_no_half_message(victim):
    """RLIMIT_FSIZE: a real short write, then EFBIG, in whoever writes."""
    clean_boxes(victim)
    for path in victim.maildir().joinpath("tmp").iterdir():
        path.unlink()
    oracle = Judge(victim)
    body = b"0123456789abcdef\r\n" * 20000
    for program in ("qmail-queued", "qmail-lspawn"):
        # qmail-local inherits lspawn's.
        deferred = victim.log().count("deferral:")
        end_idle_workers(victim)
        with limited(process(victim, program), "fsize", 100001):
            ok = oracle.send(body)
            if program == "qmail-queued":
                assert not ok and oracle.codes[-1] == 451
            else:
                assert ok
                wait_for(lambda: victim.log().count("deferral:") > deferred, 20,
                         f"a deferral\n{victim.story()}")
                assert not oracle.copies()
        settle(victim)
        oracle.judge()
    # What a failed delivery had written is gone too.
    assert not list(victim.maildir().joinpath("tmp").iterdir())
    assert not victim.queue_files("pid")


# ---- qmail-send beside a queue of the test's ----

MESSAGE = b"Received: (qmail 1 invoked by uid 2)\nSubject: x\n\nhello\n"


@pytest.fixture
def send(tmp_path, bin):
    system = Send(tmp_path, bin)
    yield system
    if system.pid is not None:
        system.stop(signal.SIGKILL)


def inject_into(send, *faults):
    """Run this qmail-send under strace from now on."""
    program = send.home / "bin/qmail-send"
    real = send.home / "bin/qmail-send.real"
    if not real.exists():
        program.rename(real)
    options = " ".join(f"-e inject={fault}" for fault in faults)
    program.write_text(f"#!/bin/sh\nexec strace -D -f -qq -o {send.home}/trace "
                       f"{options} {real}\n")
    program.chmod(0o755)
    # It looks for its home above the bin/ it lies in, whatever its name.
    return send.home / "trace"


def test_a_queue_that_cannot_be_listed_is_not_an_empty_one(send):
    """EIO while mess/ is read: no message is forgotten until a restart."""
    ids = [send.queue.write(MESSAGE, b"", [b"a@here.example"], folder="mess")
           for _ in range(6)]
    program = send.home / "bin/qmail-send"
    good = program.read_bytes()
    trace = inject_into(send, "getdents64:error=EIO:when=2..4")
    send.start()
    status = send.wait_exit()
    assert "(INJECTED)" in trace.read_text()
    assert status == 111
    assert "warning: unable to read queue/mess/" in send.log()
    assert "alert: cannot start: unable to read queue/mess" in send.log()
    program.write_bytes(good)
    send.start()
    for ident in ids:
        send.wait_end(ident)


def test_a_queue_file_that_cannot_be_read_is_not_set_aside(send):
    """EIO is not damage: the file stays, and is tried again."""
    ident = send.queue.write(MESSAGE, b"", [b"a@here.example"], folder="mess")
    trace = inject_into(send, "pread64:error=EIO:when=1..2")
    send.start()
    send.wait_log("will try again later")
    assert "(INJECTED)" in trace.read_text()
    assert send.queue.files("mess") == [str(ident)]
    assert send.queue.files("bad") == []
    for _ in range(3):
        send.kill(signal.SIGALRM)
        time.sleep(0.05)
    send.wait_end(ident)


@pytest.mark.parametrize("fault", [
    "pwrite64:error=ENOSPC:when=1..2", "pwrite64:error=EIO:when=2",
    "openat:error=EDQUOT:when=%d", "ftruncate:error=EROFS:when=1"])
def test_a_bounce_whose_reason_cannot_be_kept_is_sent(send, fault):
    """The failed mark suffices; the reason is best effort."""
    send.answers["local"] = lambda job: (b"D", b"Sorry, no. (#5.1.1)\n")
    if "%d" in fault:
        # The open of the bounce file is the first with O_CREAT in bounce/.
        trace = inject_into(send)
        send.start()
        send.wait_end(send.inject(MESSAGE, b"s@x.example", [b"a@here.example"]))
        send.stop()
        opens = [line for line in trace.read_text().splitlines()
                 if "openat(" in line]
        pid = opens[0].split()[0]
        opens = [line for line in opens if line.startswith(pid)]
        nth = 1 + next(n for n, line in enumerate(opens)
                       if "queue/bounce/" in line and "O_CREAT" in line)
        fault = fault % nth
        for path in send.out.iterdir():
            path.unlink()
    trace = inject_into(send, fault)
    send.start()
    ident = send.inject(MESSAGE, b"s@x.example", [b"a@here.example"])
    send.wait_end(ident)
    assert "(INJECTED)" in trace.read_text()
    ((message, envelope),) = send.bounces()
    assert envelope == b"F\0Ts@x.example\0\0"
    assert b"<a@here.example>:\n" in message
    assert send.queue.files("mess") == send.queue.files("bounce") == []


def test_a_mark_that_cannot_be_written_is_said(send):
    trace = inject_into(send, "pwrite64:error=EIO:when=1")
    send.start()
    ident = send.inject(MESSAGE, b"", [b"a@here.example"])
    send.wait_end(ident)
    assert "(INJECTED)" in trace.read_text()
    assert ("warning: trouble marking mess/" in send.log() and
            "delivered twice" in send.log())
    assert len(send.jobs()) == 1


def test_a_message_that_cannot_be_removed_is_not_delivered_again(send):
    ident = send.queue.write(MESSAGE, b"", [b"a@here.example"], folder="mess")
    trace = inject_into(send, "unlink,unlinkat:error=EROFS:when=1..3")
    send.start()
    send.wait_log("unable to unlink")
    for _ in range(5):
        send.kill(signal.SIGALRM)
        time.sleep(0.05)
    send.wait_end(ident)
    assert "(INJECTED)" in trace.read_text()
    assert len(send.jobs()) == 1


# ---- qmail-queued's trigger ----

def test_a_trigger_that_cannot_be_pulled_is_pulled_later(bin):
    """Mail that is durable must not wait for qmail-send's look of a minute."""
    from queuehouse import QueueHouse
    q = QueueHouse(bin)
    try:
        q.start()
        trigger = q.queue / "lock/trigger"
        away = trigger.with_name("away")
        trigger.rename(away)
        reader = os.open(away, os.O_RDONLY | os.O_NONBLOCK)
        assert q.put() == 0
        wait_for(lambda: b"cannot pull queue/lock/trigger" in q.log(), 20, "a line")
        assert q.put() == 0
        assert q.log().count(b"cannot pull") == 1
        away.rename(trigger)

        def pulled():
            with contextlib.suppress(BlockingIOError):
                return os.read(reader, 10)
        wait_for(pulled, 10, "the trigger")
        os.close(reader)
    finally:
        q.close()


# ---- multilog ----

LOG_CALLS = ["write", "openat", "fsync", "renameat", "renameat2", "linkat",
             "unlinkat", "fchmod", "read", "getdents64", "mmap"]


def run_multilog(bin, place, *options):
    lines = [b"line %d " % n + b"x" * 60 for n in range(300)]
    trace = place / "trace"
    result = subprocess.run(
        ["strace", "-qq", "-o", trace, *options, bin / "multilog", "s4096", "n20",
         place / "main"], input=b"".join(line + b"\n" for line in lines),
        capture_output=True, timeout=60)
    return result, trace.read_text(), lines


def logged(place):
    main = place / "main"
    return b"".join(path.read_bytes() for path in sorted(main.glob("@*")) +
                    [main / "current"])


def multilog_experiments(bin, tmp_path, limit):
    place = tmp_path / "record"
    place.mkdir()
    result, trace, lines = run_multilog(bin, place)
    assert result.returncode == 0
    began = trace.index("signalfd")

    def count(call, text):
        return len(re.findall(rf"^{call}\(", text, re.M))
    counts = {call: count(call, trace) for call in LOG_CALLS}
    before = {call: count(call, trace[:began]) for call in LOG_CALLS}
    chosen = [(call, n) for call, n in points(counts, "multilog")
              if n > before[call]][:limit]
    for at, (call, n) in enumerate(chosen):
        for error in ERRORS if limit is None else [ERRORS[at % 4]]:
            place = tmp_path / f"{call}-{n}-{error}"
            place.mkdir()
            # The pauses of 3 s are skipped: the sleep returns at once.
            result, trace, lines = run_multilog(
                bin, place, "-e", f"inject={call}:error={error}:when={n}",
                "-e", "inject=clock_nanosleep:retval=0")
            assert re.search(rf"^{call}\(.*{error}.*INJECTED", trace, re.M)
            what = f"{call} {n} {error}: {result.stderr.decode()}"
            if result.returncode == 111:
                # Only while it begins: nothing has been read yet.
                assert not (place / "main/current").exists() or \
                    not logged(place), what
                continue
            assert result.returncode == 0, what
            assert logged(place).split(b"\n")[:-1] == lines, what
    return len(chosen)


def test_multilog_waits_for_better_times(bin, tmp_path):
    assert multilog_experiments(bin, tmp_path, 30) > 15


@pytest.mark.soak
def test_multilog_waits_at_every_call(bin, tmp_path):
    assert multilog_experiments(bin, tmp_path, None) > 50


# ---- supervise and svscan ----

def test_supervise_survives_what_it_may_not_do(bin, keeper):  # noqa: F811
    service = make_service(keeper.dir / "s", "exec sleep 1000\n")
    trace = keeper.dir / "trace"
    process = keeper.start(
        "strace", "-qq", "-o", trace,
        "-e", "inject=clone,clone3,fork,vfork:error=EAGAIN:when=1..2",
        "-e", "inject=openat:error=EIO:when=8+3", "-e", "inject=renameat,rename:error=ENOSPC:when=1+2",
        "-e", "inject=poll,ppoll:error=EINTR:when=1+2",
        bin / "supervise", service)
    keeper.supervised.append(service)
    wait_for(lambda: "(INJECTED)" in (trace.read_text() if trace.exists() else ""),
             20, "a fault")

    def up():
        try:
            return status(service)[0]
        except (OSError, AssertionError):
            return False
    wait_for(up, 20, lambda: "the service to be up: " + process.errors.read_text())
    assert process.poll() is None
    subprocess.run([bin / "svc", "-dx", service], check=True)
    assert process.wait(20) == 0


# ---- full disks ----

@contextlib.contextmanager
def small_disk(place, size):
    """What lies at `place` on a tmpfs of this size, while it runs or not."""
    kept = place.with_name(place.name + ".kept")
    st = place.stat()
    os.rename(place, kept)
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o",
                    f"size={size},mode={stat.S_IMODE(st.st_mode):o},"
                    f"uid={st.st_uid},gid={st.st_gid}", "valija-test", place],
                   check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        place.rmdir()
        os.rename(kept, place)


@contextlib.contextmanager
def filled(place):
    filler = place / "filler"
    with open(filler, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65536)
        with contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 512)
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def own(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    yield made
    made.stop()
    made.remove()


@pytest.mark.root
def test_a_full_disk_under_the_mailboxes_defers(own):
    with small_disk(own.home / "vpopmail/domains", "2m") as place:
        own.start()
        oracle = Judge(own)
        with filled(place):
            assert oracle.send(b"y" * 20000 + b"\r\n")
            wait_for(lambda: "deferral:" in own.log(), 20, "a deferral")
            assert not oracle.copies()
            assert own.queue_files("mess")
        settle(own)
        oracle.judge()
        assert not list(own.maildir().joinpath("tmp").iterdir())
        own.stop()


@pytest.mark.root
def test_a_full_disk_under_the_queue_keeps_mail_and_bounces(own):
    """In DATA, and when a bounce should be queued."""
    with small_disk(own.home / "queue", "16m") as place:
        own.start()
        oracle = Judge(own)
        # The bounce: held back while there is room for nothing.
        own.svc("-d", "qmail-send")
        wait_for(lambda: not own.pids("qmail-send"), 20, "qmail-send to end")
        assert oracle.send_to_nobody()
        assert oracle.send()
        with filled(place):
            own.svc("-u", "qmail-send")
            wait_for(lambda: "trouble injecting bounce message" in own.log(),
                     20, lambda: f"trouble with a bounce\n{own.story()}")
            wait_for(lambda: oracle.copies(), 20, "the other one")
            assert not oracle.send(b"y" * 100000 + b"\r\n")
            assert oracle.codes[-1] in (451, 452)
            pid = own.pids("qmail-send")[0]
            began = cpu_ticks(pid)
            time.sleep(0.5)
            assert cpu_ticks(pid) - began < 15
        assert oracle.send()
        settle(own)
        oracle.judge()
        assert not own.queue_files("pid", "new", "mess", "bounce")
        own.stop()


@pytest.mark.root
def test_a_full_disk_under_a_log_stops_no_mail_at_once(own):
    """multilog waits; what it has not taken waits in the pipe."""
    log = own.home / "service/qmail-send/log/main"
    with small_disk(log, "64k") as place:
        own.start()
        oracle = Judge(own)
        assert oracle.send()
        settle(own)
        with filled(place):
            for _ in range(20):
                assert oracle.send()
            wait_for(lambda: len(oracle.copies()) == 21, 20,
                     "the mail, although nothing is logged")
            assert own.log().count("end msg") < 21
        wait_for(lambda: own.log().count("end msg") == 21, 20,
                 "the log to be complete")
        for n in range(1, 22):
            assert re.search(rf"starting delivery {n}:", own.log())
        oracle.judge()
        own.stop()
