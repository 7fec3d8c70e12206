"""Who sends and who receives: Postfix's smtp-source and smtp-sink.

They load both systems alike; their own CPU is told apart and reported.
"""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

from house import DOMAIN, free_port, listens  # noqa: E402
from sink import Sink  # noqa: E402
from waiting import wait_for  # noqa: E402

PEER = ROOT / ".peer/postfix/usr"
ENV = dict(os.environ, LD_LIBRARY_PATH=str(PEER / "lib/postfix"))
SENDER = f"ana@{DOMAIN}"
RECIPIENT = f"luis@{DOMAIN}"
KIB = 1024
MANY = 100  # messages a connection


@dataclasses.dataclass(frozen=True)
class Stream:
    """What one smtp-source sends."""

    sessions: int
    many: bool          # 100 messages a connection, or one
    size: int = KIB
    to: str = RECIPIENT
    recipients: int = 1

    def batches(self, count):
        """smtp-source has no limit of messages a connection: begin anew."""
        step = self.sessions * MANY if self.many else count
        done = 0
        while done < count:
            yield min(step, count - done)
            done += step

    def command(self, count, where):
        words = [str(PEER / "sbin/smtp-source"), "-s", str(self.sessions),
                 "-l", str(self.size), "-m", str(count), "-f", SENDER,
                 "-t", self.to]
        if self.recipients > 1:
            words += ["-r", str(self.recipients)]
        if self.many:
            words.append("-d")
        return [*words, where]


MIX = [(6, KIB), (3, 10 * KIB), (1, 100 * KIB)]  # of ten sessions, of ten messages


def mix(sessions, many=True):
    """(share of the messages, stream) of small, middling and large ones."""
    whole = sum(n for n, _ in MIX)
    return [(n / whole, Stream(max(1, sessions * n // whole), many, size))
            for n, size in MIX]


def shares(streams, count):
    """How many messages each stream sends: together count."""
    counts = [int(share * count) for share, _ in streams]
    counts[0] += count - sum(counts)
    return counts


def run(command):
    """CPU seconds of one program that must succeed."""
    process = subprocess.Popen(command, env=ENV, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"smtp-source ended with {process.returncode}: "
                           f"{' '.join(command)}")
    return usage.ru_utime + usage.ru_stime


def send(streams, count, where):
    """Send count messages as [(share, stream)]; (seconds, generator's CPU ms)."""
    cpu, failed = [], []

    def one(stream, messages):
        try:
            for batch in stream.batches(messages):
                cpu.append(run(stream.command(batch, where)))
        except RuntimeError as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(stream, messages))
               for (_, stream), messages in zip(streams, shares(streams, count))]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.monotonic() - start, 1000 * sum(cpu)


def learn(size, to=RECIPIENT):
    """What smtp-source sends with this size, as a server hears it."""
    sink = Sink()
    try:
        run(Stream(1, False, size, to).command(1, f"127.0.0.1:{sink.port}"))
        return sink.messages[0]
    finally:
        sink.close()


# ---- the remote side ----

COUNTERS = re.compile(rb"sess=(\d+) quit=(\d+) mesg=(\d+)")


class Counter:
    """smtp-sink: takes every message, forgets it, and counts."""

    def __init__(self, port=None, dump=None):
        self.port = port or free_port()
        command = [str(PEER / "sbin/smtp-sink"), "-u", "nobody", "-c"]
        if dump:
            command += ["-D", str(dump)]
        self.process = subprocess.Popen(
            [*command, f"127.0.0.1:{self.port}", "1000"], env=ENV,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/")
        self.messages = 0
        self.changed = None  # when it last was
        self.more = threading.Condition()
        threading.Thread(target=self.watch, daemon=True).start()
        wait_for(lambda: listens(self.port), 10, "smtp-sink")

    def watch(self):
        rest = b""
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return
            rest = (rest + data)[-200:]
            found = COUNTERS.findall(rest.rpartition(b"\r")[0])
            if found:
                with self.more:
                    if self.messages != int(found[-1][2]):
                        self.messages = int(found[-1][2])
                        self.changed = time.monotonic()
                    self.more.notify_all()

    def cpu_ms(self):
        """What it has used, in the scheduler's own words: nanoseconds first."""
        path = pathlib.Path(f"/proc/{self.process.pid}/schedstat")
        return int(path.read_text().split()[0]) / 1e6

    def wait(self, count, idle_s=120):
        """Until message number `count` has come."""
        with self.more:
            while self.messages < count:
                before = self.messages
                if not self.more.wait(idle_s) and self.messages == before:
                    raise RuntimeError(
                        f"smtp-sink has {before} of {count} messages, and "
                        f"none came for {idle_s} s")

    def close(self):
        self.process.terminate()
        self.process.wait()
