"""kill -9 at syscalls of each program, and at random moments under load.

A program is put behind a wrapper that, once, runs it under strace with one
fault: SIGKILL when it enters its n-th call of some kind. First a recording
run counts the calls; then each (call, n) is an experiment. check takes a
sample, soak all. Afterwards qmail-send gets ALRM, the queue must become
empty within 60 s, and the oracle judges.

qmail-queued and qmail-send are killed while they replay what another had left
in the queue's log, while a message goes through a file, and while messages go
through the log, one of which bounces.
"""

import collections
import contextlib
import os
import poplib
import random
import re
import signal
import subprocess
import threading
import time

import pytest

from house import DOMAIN, PASSWORD, listens
from oracle import Judge, Oracle
from processes import alarm_if_heard
from queuefile import log_records
from sink import Sink
from waiting import Progress, wait_for

# Calls before main(), and those that end a process anyway.
NOT_INTERESTING = {"exit_group", "exit", "execve", "restart_syscall",
                   "rt_sigreturn", "arch_prctl", "set_tid_address",
                   "set_robust_list", "rseq", "prlimit64", "readlink",
                   "brk", "mprotect"}


class Wrapped:
    """A program of a house that can be traced or killed once, when armed."""

    def __init__(self, house, program):
        self.house = house
        self.program = program
        self.path = house.home / "bin" / program
        self.real = house.home / "bin" / f"{program}.real"
        self.trace = house.home / "trace" / program
        self.arm_file = house.home / "trace" / f"{program}.armed"
        self.trace.parent.mkdir(exist_ok=True)
        self.trace.parent.chmod(0o777)
        # Other houses have links to this file, so its mode comes back.
        self.mode = self.path.stat().st_mode & 0o7777
        os.rename(self.path, self.real)
        self.real.chmod(0o755)
        self.path.write_text(
            "#!/bin/sh\n"
            f"if mv {self.arm_file} {self.arm_file}.$$ 2>/dev/null\n"
            f"then exec `cat {self.arm_file}.$$` {self.real} \"$@\"\n"
            f"else exec {self.real} \"$@\"\nfi\n")
        self.path.chmod(0o755)

    def unwrap(self):
        self.real.chmod(self.mode)
        os.replace(self.real, self.path)

    def arm(self, *options, children=True):
        self.trace.unlink(missing_ok=True)
        # -I2: it can be asked to go.
        words = ["strace", "-D", "-I2", "-qq", "-o", str(self.trace), *options]
        if children and self.program not in SPAWNERS:
            words.append("-f")
        temp = self.arm_file.with_suffix(".new")
        temp.write_text(" ".join(words) + "\n")
        temp.chmod(0o666)
        os.replace(temp, self.arm_file)
        # One that waits for another job would take it: this looks to
        # qmail-lspawn as if the program were a new one.
        os.utime(self.path)

    def armed(self):
        return self.arm_file.exists()

    def disarm(self):
        self.arm_file.unlink(missing_ok=True)

    def text(self):
        try:
            return self.trace.read_text(errors="replace")
        except OSError:
            return ""

    def was_killed(self):
        return "killed by SIGKILL" in self.text()

    def let_go(self):
        """No more faults. strace's count begins anew in each child."""
        for pid in self.house.pids(self.real.name):
            with contextlib.suppress(OSError):
                text = open(f"/proc/{pid}/status").read()
                tracer = int(re.search(r"^TracerPid:\t(\d+)", text, re.M)[1])
                if tracer:
                    os.kill(tracer, signal.SIGTERM)

    def was_injected(self):
        return "(INJECTED)" in self.text()

    def struck(self):
        """Did the fault strike? The tracer may write that a little later."""
        deadline = time.monotonic() + 1
        while not self.was_killed():
            if time.monotonic() > deadline or \
                    re.search(r"^\+\+\+ exited", self.text(), re.M):
                return self.was_killed()
            time.sleep(0.01)
        return True

    def counts(self):
        """How often each process made each call, at most."""
        per = collections.Counter()
        for line in self.text().splitlines():
            match = re.match(r"(\d+ +)?([a-z_0-9]+)\(", line)
            if match and match.group(2) not in NOT_INTERESTING:
                per[match.groups()] += 1
        most = {}
        for (_, call), count in per.items():
            most[call] = max(most.get(call, 0), count)
        return most


def points(counts, seed):
    """Every call of the recorded run, in an order that is always the same."""
    every = [(call, n) for call in sorted(counts)
             for n in range(1, counts[call] + 1)]
    random.Random(seed).shuffle(every)
    return every


def restart(house, service):
    """Let supervise start a service anew; the caller waits for its effect."""
    # SIGTERM lets qmail-queued stay for the qmail-send that runs.
    house.svc("-i" if service == "qmail-queued" else "-t", service)


# Their workers have experiments of their own: the fault is not for them.
SPAWNERS = {"qmail-lspawn", "qmail-rspawn", "tcpserver"}

# How to make a program run: daemons are restarted, workers come by mail.
DAEMONS = {"qmail-queued": "qmail-queued", "qmail-send": "qmail-send",
           "qmail-lspawn": "qmail-send", "qmail-rspawn": "qmail-send",
           "tcpserver": "qmail-smtpd"}


def read_mail(house):
    """One POP3 session that deletes nothing; trouble is part of the game."""
    try:
        client = house.pop3()
        if client.stat()[0]:
            client.retr(1)
        client.quit()
    except (OSError, poplib.error_proto, EOFError):
        pass


def exercise(house, program, oracle, wrapped, *options):
    """Run the program with these options of strace; give it work."""
    if program in OF_THE_LOG:
        exercise_log(house, program, oracle, wrapped, options)
        return
    wrapped.arm(*options)
    if program in DAEMONS:
        restart(house, DAEMONS[program])
        wait_for(lambda: not wrapped.armed(), 20, f"{program} to start")
        if program == "tcpserver":
            wait_for(lambda: listens(house.smtp_port) or wrapped.was_killed(),
                     20, "the SMTP port, or its end")
    if program in ("qmail-popup", "vchkpw", "qmail-pop3d"):
        read_mail(house)
    elif program in ("qmail-queue", "qmail-inject"):
        inject(house, program, oracle)
    else:
        oracle.send()


# What gives messages to the log and takes them from there, and calls that say
# that it did: a record and its sync, a move to a file.
OF_THE_LOG = {"qmail-queued": {"pwritev", "fdatasync", "renameat2", "fsync"},
              "qmail-send": {"pread64", "pwrite64", "renameat2", "fsync"}}


def goes_by_log(house, oracle):
    """Does a message go through the log, and is none a file?"""
    before = {image for *_, image in log_records(house.home)}
    oracle.send()
    return {image for *_, image in log_records(house.home)} - before


@contextlib.contextmanager
def standing(house):
    """qmail-send stands still meanwhile; where it ends, that is all right."""
    pids = house.pids("qmail-send") + house.pids("qmail-send.real")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def exercise_log(house, program, oracle, wrapped, options):
    """Let the program find a record of the log when it begins; then give it a
    message while the log is not in use, and two by the log.
    """
    wait_for(lambda: goes_by_log(house, oracle), 30, "the log to be in use again")
    settle(house)
    with standing(house):
        oracle.send()
        wrapped.arm(*options)
        house.svc("-k", DAEMONS[program])
        if program == "qmail-send":
            wait_for(lambda: not wrapped.armed(), 20, f"{program} to start")
    wait_for(lambda: not wrapped.armed(), 20, f"{program} to start")
    oracle.send()
    if not wrapped.was_killed() and not wrapped.was_injected():
        # Each second qmail-send looks for a qmail-queued.
        time.sleep(1.5)
        oracle.send()
        oracle.send_to_nobody()


def inject(house, program, oracle):
    """By hand, without SMTP: the exit code is the acknowledgement."""
    import uuid
    token = uuid.uuid4().hex
    text = f"X-Oracle: {token}\nSubject: x\n\nx\n".encode()
    if program == "qmail-queue":
        read, write = os.pipe()
        os.write(write, f"Fana@{DOMAIN}\0Tluis@{DOMAIN}\0\0".encode())
        os.close(write)
        result = run_queue(house, text, read)
        os.close(read)
    else:
        result = subprocess.run(
            [house.home / "bin/qmail-inject", "-f", f"ana@{DOMAIN}",
             f"luis@{DOMAIN}"], input=text, capture_output=True).returncode
    (oracle.accepted if result == 0 else oracle.refused).add(token)


def run_queue(house, text, envelope):
    child = subprocess.Popen([house.home / "bin/qmail-queue"],
                             stdin=subprocess.PIPE, stdout=envelope)
    try:
        child.stdin.write(text)
        child.stdin.close()
    except OSError:
        pass
    return child.wait(60)


def settle(house, wrapped=None, seconds=60):
    """Everything due now; the queue must be empty within this time.

    wrapped: with no more faults, once there was one.
    """
    def alarm():
        if wrapped and (wrapped.was_killed() or wrapped.was_injected()):
            wrapped.let_go()
        for pid in house.pids("qmail-send") + house.pids("qmail-send.real"):
            alarm_if_heard(pid)
        return house.queue_is_empty()

    deadline = time.monotonic() + seconds
    while not alarm():
        assert time.monotonic() < deadline, \
            f"the queue is not empty: {house.queue_files()}\n{house.log()[-2000:]}"
        time.sleep(0.1)


PROGRAMS = ["qmail-smtpd", "qmail-queued", "qmail-send", "qmail-lspawn",
            "qmail-local", "vdelivermail", "qmail-queue", "qmail-inject",
            "qmail-popup", "vchkpw", "qmail-pop3d", "tcpserver",
            "qmail-getpw", "qmail-rspawn", "qmail-remote"]
REMOTE = {"qmail-rspawn", "qmail-remote"}
# A mailbox has one file a message and recipient, however often a delivery is
# tried: its name says so. Another machine, a forward or a vdelivermail that
# runs as a program (here it is a script) may get one more a kill.
MAY_REPEAT = REMOTE | {"qmail-getpw", "vdelivermail"}


@pytest.fixture(scope="module")
def victim(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()


@pytest.fixture
def sink(victim):
    made = Sink()
    victim.control("smtproutes", f"elsewhere.test:127.0.0.1:{made.port}\n")
    yield made
    made.close()


def oracle_for(house, program, sink):
    """Whose mail meets this program."""
    if program in REMOTE:
        return Oracle(house, to="you@elsewhere.test", sink=sink)
    if program == "qmail-getpw":  # alias's .qmail-postmaster forwards it
        return Oracle(house, "postmaster", to="postmaster@mail.example.test")
    return Judge(house) if program in OF_THE_LOG else Oracle(house)


MANY = 200


def clean_boxes(house):
    for user in ("ana", "luis", "postmaster"):
        for path in house.maildir(user).joinpath("new").iterdir():
            path.unlink()


def kill_once(house, program, oracle, wrapped, fault):
    """True when it struck."""
    exercise(house, program, oracle, wrapped, "-e", f"inject={fault}")
    settle(house, wrapped)
    # One that stays meets some of its calls at a later message.
    for _ in range(4 if program in DAEMONS else 0):
        if not wrapped.was_killed():
            oracle.send()
            settle(house, wrapped)
    struck = wrapped.struck()
    wrapped.disarm()
    return struck


def kill_everywhere(house, program, sample, sink):
    """One kill at each call of a recorded run; with a sample, until so many
    have struck. Runs differ: not every call comes as often as it did then.
    """
    oracle = oracle_for(house, program, sink)
    wrapped = Wrapped(house, program)
    reached = missed = 0
    allowed = 0  # copies
    failures = []
    try:
        oracle.send()  # something for a reader to read
        settle(house)  # of one message from here on: a worker would count both
        exercise(house, program, oracle, wrapped)
        settle(house)
        counts = wait_for(wrapped.counts, 10, f"a trace of {program}")
        if program in OF_THE_LOG:
            assert OF_THE_LOG[program] <= set(counts), counts
        if program in DAEMONS:
            restart(house, DAEMONS[program])
        chosen = points(counts, program)
        assert chosen
        progress = Progress(f"kill {program}", len(chosen))
        for call, n in chosen:
            if reached == sample:
                break
            progress.step(f"({call} {n})")
            try:
                if kill_once(house, program, oracle, wrapped, f"{call}:signal=KILL:when={n}"):
                    reached += 1
                    allowed += program in MAY_REPEAT
                else:
                    missed += 1
                oracle.judge(allowed)
            except AssertionError as wrong:
                # One more fault must not hide behind this one.
                print(f"failed: {call} {n}: {wrong}", flush=True)
                failures.append(f"{call} {n}: {wrong}")
                oracle, allowed = oracle_for(house, program, sink), 0
            if len(oracle.accepted) > MANY:
                # Reading all of them each time would take longer and longer.
                clean_boxes(house)
                oracle, allowed = oracle_for(house, program, sink), 0
    finally:
        wrapped.disarm()
        wrapped.unwrap()
        if program in DAEMONS:
            restart(house, DAEMONS[program])
    assert not failures, "\n====\n".join(failures)
    wait_for(lambda: listens(house.smtp_port), 20, "the SMTP port")
    # Most faults must have struck, or this proves nothing.
    if sample is None:
        assert reached >= 0.7 * (reached + missed), (reached, missed)
    else:
        assert reached >= min(sample, 0.7 * len(chosen)), (reached, missed)
    assert oracle.send(), "it does not accept mail any more"
    settle(house)
    oracle.judge(allowed)
    assert not house.queue_files("bad")
    clean_boxes(house)
    print(f"{program}: {reached} of {reached + missed} kills struck", flush=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_at_sampled_syscalls(victim, program, sink):
    kill_everywhere(victim, program, 5, sink)


@pytest.mark.soak
@pytest.mark.parametrize("program", PROGRAMS)
def test_killed_at_every_syscall(victim, program, sink):
    kill_everywhere(victim, program, None, sink)


def random_kills(house, seconds, senders=4):
    """Random programs die at random moments while mail flows."""
    oracle = Oracle(house)
    chance = random.Random(7)
    stop = threading.Event()
    lock = threading.Lock()

    def feed():
        own = Oracle(house)
        while not stop.is_set():
            own.send(b"y" * 2000 + b"\r\n")
        with lock:
            oracle.accepted |= own.accepted
            oracle.refused |= own.refused

    threads = [threading.Thread(target=feed) for _ in range(senders)]
    for thread in threads:
        thread.start()
    kills = 0
    mortal = ["qmail-smtpd", "qmail-queued", "qmail-send", "qmail-lspawn",
              "qmail-local", "vdelivermail", "qmail-rspawn", "tcpserver",
              "multilog"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.01, 0.15))
        pids = house.pids(chance.choice(mortal))
        if not pids:
            continue
        try:
            os.kill(chance.choice(pids), signal.SIGKILL)
            kills += 1
        except ProcessLookupError:
            pass
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    wait_for(lambda: listens(house.smtp_port), 30, "SMTP to come back")
    print(f"{len(oracle.accepted)} messages accepted, {kills} kills", flush=True)
    # A qmail-send that dies again and again takes less than what comes.
    settle(house, seconds=60 + len(oracle.accepted) / 50)
    # What was in flight when somebody died is delivered again, and finds
    # its own earlier file.
    oracle.judge()
    assert len(oracle.accepted) > seconds, "hardly any mail flowed"
    return kills, len(oracle.accepted)


def test_random_kills_while_mail_flows(victim):
    kills, accepted = random_kills(victim, 8)
    assert kills > 20
    print(f"{accepted} messages accepted, {kills} kills")


@pytest.mark.soak
def test_random_kills_for_ten_minutes(victim):
    kills, accepted = random_kills(victim, 600, senders=10)
    print(f"{accepted} messages accepted, {kills} kills")
