"""qmail-send with spawners made of Python: for tests of the scheduler."""

import array
import copy
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import threading

from queuefile import Queue, record, records, u64
from waiting import wait_for

PROTOCOL = record(1, b"valija-job 1")


class Job:
    """A parsed job packet."""

    def __init__(self, channel, packet, fds):
        self.channel = channel
        fields = {}
        self.recipients = []
        for kind, value in records(packet):
            if kind == 16:
                self.recipients.append(
                    (int.from_bytes(value[:8], "little"), value[8:]))
            fields.setdefault(kind, value)
        assert fields[1] == b"valija-job 1"
        self.fields = fields
        self.number = int.from_bytes(fields[3], "little")
        self.id = int.from_bytes(fields[5], "little")
        self.sender = fields[6]
        self.host = fields.get(7)
        self.size = int.from_bytes(fields[8], "little")
        if 9 in fields:
            assert not fds
            self.message = fields[9]
        else:
            (fd,) = fds
            self.message = os.pread(fd, self.size + 1, 0)
            self.seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            os.close(fd)
        assert len(self.message) == self.size
        self.address = self.recipients[0][1]

    def each(self):
        """One job for each recipient."""
        for number, address in self.recipients:
            one = copy.copy(self)
            one.recipients = [(number, address)]
            one.address = address
            yield one


class Spawner(threading.Thread):
    """Answers each recipient with answer(job): (b"K", b"text").

    b"H" for b"Z" where the next hop has failed. None holds the whole job.
    """

    def __init__(self, name, capacity=120, hello=True):
        super().__init__(daemon=True)
        self.channel = name
        self.ours, self.theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.answer = lambda job: (b"K", b"ok\n")
        self.jobs = []
        self.held = []
        if hello:
            self.ours.send(PROTOCOL + record(2, u64(capacity)))

    def run(self):
        while True:
            try:
                packet, ancillary, _, _ = self.ours.recvmsg(
                    200000, socket.CMSG_SPACE(16))
            except OSError:
                return
            if not packet:
                return
            fds = array.array("i")
            for _, _, data in ancillary:
                fds.frombytes(data)
            job = Job(self.channel, packet, list(fds))
            self.jobs.append(job)
            said = [self.answer(one) for one in job.each()]
            if None in said:
                self.held.append(job)
            else:
                self.reply(job, said)

    def addresses(self):
        """All that it was asked for."""
        return [address for job in self.jobs for _, address in job.recipients]

    def reply(self, job, said):
        packet = PROTOCOL + record(3, u64(job.number))
        for (number, _), (outcome, text) in zip(job.recipients, said):
            letter = b"Z" if outcome == b"H" else outcome
            packet += record(32, u64(number) + letter + text)
        if any(outcome == b"H" for outcome, _ in said):
            packet += record(34, b"")
        try:
            self.ours.send(packet)
        except OSError:
            pass

    def release(self, outcome, text, which=lambda job: True):
        """Answer those that are held."""
        for job in [job for job in self.held if which(job)]:
            self.held.remove(job)
            self.reply(job, [(outcome, text)] * len(job.recipients))

    def close(self):
        try:
            self.ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.ours.close()


QUEUE_PROGRAM = """#!/bin/sh
# Stands for qmail-queue: keeps message and envelope.
set -e
t=$(mktemp {out}/tmp.XXXXXX)
cat >"$t"
cat <&1 >"$t.env"
mv "$t.env" "$t.done"
"""


class Send:
    """One home with a queue, and a qmail-send that may come and go."""

    def __init__(self, home, bin, split=3):
        self.home = pathlib.Path(home)
        (self.home / "bin").mkdir()
        shutil.copy2(bin / "qmail-send", self.home / "bin/qmail-send")
        (self.home / "control").mkdir()
        self.control("me", "here.example\n")
        self.control("virtualdomains", "virt.example:owner\n")
        self.queue = Queue(home, split)
        self.queue.create()
        self.out = self.home / "out"
        self.out.mkdir()
        program = self.home / "fake-queue"
        program.write_text(QUEUE_PROGRAM.format(out=self.out))
        program.chmod(0o755)
        self.env = {"QMAILQUEUE": str(program), "PATH": os.environ["PATH"],
                    "VALIJA_TEST_CLOCK": str(self.home / "clock")}
        if os.geteuid() != 0:
            self.env["QMAILHOME"] = str(self.home)
        self.log_path = self.home / "log"
        self.pid = None
        self.answers = {"local": None, "remote": None}

    def control(self, name, text):
        (self.home / "control" / name).write_text(text)

    def clock(self, offset_s):
        temp = self.home / "clock.new"
        temp.write_text(f"{offset_s}\n")
        temp.rename(self.home / "clock")

    def log(self):
        try:
            return self.log_path.read_text()
        except FileNotFoundError:
            return ""

    def start(self, capacity=120, hello=True):
        self.local = Spawner("local", capacity, hello)
        self.remote = Spawner("remote", capacity, hello)
        for spawner in (self.local, self.remote):
            if self.answers[spawner.channel]:
                spawner.answer = self.answers[spawner.channel]
        log = os.open(self.log_path,
                      os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        fds = [log] + [s.theirs.fileno() for s in
                       (self.local, self.local, self.remote, self.remote)]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in fds]
        self.pid = os.posix_spawn(
            self.home / "bin/qmail-send", ["qmail-send"], self.env,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, to)
                          for to, fd in enumerate(high)] +
            [(os.POSIX_SPAWN_CLOSE, 7)])
        for fd in high + [log]:
            os.close(fd)
        for spawner in (self.local, self.remote):
            spawner.theirs.close()
            spawner.start()
        return self

    def kill(self, number):
        os.kill(self.pid, number)

    def wait_exit(self, timeout=20):
        def ended():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return (status,) if pid else None
        (status,) = wait_for(ended, timeout, "qmail-send to exit")
        self.pid = None
        self.local.close()
        self.remote.close()
        return os.waitstatus_to_exitcode(status)

    def stop(self, number=signal.SIGTERM):
        if self.pid is None:
            return None
        self.kill(number)
        return self.wait_exit()

    def inject(self, *args, **how):
        """Write into new/ and pull the trigger."""
        ident = self.queue.write(*args, **how)
        try:
            self.queue.trigger()
        except OSError:
            pass  # nobody listens yet
        return ident

    def wait_log(self, text, count=1, timeout=20):
        wait_for(lambda: self.log().count(text) >= count, timeout,
                 f"{count} times {text!r} in the log:\n{self.log()}")

    def wait_end(self, ident, timeout=20):
        self.wait_log(f"end msg {ident}\n", timeout=timeout)

    def bounces(self):
        """All (message, envelope) that were queued."""
        return [(p.with_suffix("").read_bytes(), p.read_bytes())
                for p in sorted(self.out.glob("*.done"))]

    def jobs(self):
        return self.local.jobs + self.remote.jobs
