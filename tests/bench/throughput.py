#!/usr/bin/python3
"""Messages a second from SMTP into a Maildir, and what one costs.

usage: tests/bench/throughput.py [messages]

Our house (build/bin, no test clock) and, as root, Debian's Postfix beside it
(tests/bench/postfix.py) on the same file system, loaded in turn, A B A B, by
Postfix's own smtp-source. Every message must lie in the mailbox in the end.
Prints medians with the ratio of each pair's median, and, from a separate
short run of ours under strace, forks, execs and syncs a message.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tests/bench"))

from house import DOMAIN, House  # noqa: E402
from postfix import Postfix  # noqa: E402

PEER = ROOT / ".peer/postfix/usr"
TICK = os.sysconf("SC_CLK_TCK")
PAIRS = 3
LOADS = ((1, False), (10, False), (10, True), (50, True))


class Valija:
    name = "valija"

    def __init__(self):
        self.house = House(os.environ.get("VALIJA_BIN", ROOT / "build/bin"))
        self.house.add_domain()
        self.house.start()
        self.port = self.house.smtp_port
        self.new = self.house.maildir() / "new"
        self.pid = self.house.svscan.pid

    def close(self):
        self.house.stop()
        self.house.remove()


class Peer:
    name = "Postfix"

    def __init__(self):
        self.postfix = Postfix(tempfile.mkdtemp(prefix="postfix-", dir="/var/tmp"))
        self.postfix.start()
        self.port = self.postfix.port
        self.new = self.postfix.maildir
        self.pid = self.postfix.master.pid
        self.new.mkdir(parents=True, exist_ok=True)
        for path in (self.new, self.new.parent):
            os.chown(path, 65534, 65534)

    def close(self):
        self.postfix.stop()
        self.postfix.remove()


def tree(pid):
    """A process and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = open(f"/proc/{entry}/stat").read()
            except OSError:
                continue
            parent = int(stat.rsplit(")", 1)[1].split()[1])
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def cpu_seconds(pid):
    """CPU of a tree so far, dead and waited-for descendants included."""
    total = 0
    for one in tree(pid):
        try:
            fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return total / TICK


def load(system, count, sessions, many):
    """accepted/s, delivered/s, CPU ms a message."""
    env = dict(os.environ, LD_LIBRARY_PATH=str(PEER / "lib/postfix"))
    command = [PEER / "sbin/smtp-source", "-s", str(sessions), "-l", "1024",
               "-m", str(count), "-f", f"ana@{DOMAIN}", "-t", f"luis@{DOMAIN}"]
    if many:
        command.append("-d")
    for path in system.new.iterdir():
        path.unlink()
    cpu = cpu_seconds(system.pid)
    start = time.monotonic()
    subprocess.run([*command, f"127.0.0.1:{system.port}"], env=env, check=True)
    accepted = time.monotonic() - start
    while len(os.listdir(system.new)) < count:
        time.sleep(0.005)
        if time.monotonic() - start > 600:
            sys.exit(f"{system.name}: not all arrived within 10 minutes")
    delivered = time.monotonic() - start
    cpu = cpu_seconds(system.pid) - cpu
    assert len(os.listdir(system.new)) == count
    return count / accepted, count / delivered, 1000 * cpu / count


def syscalls(system, count):
    """forks, execs and syncs a message, counted by strace."""
    trace = pathlib.Path(tempfile.mkdtemp()) / "trace"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", trace, "-e",
         "trace=fork,vfork,clone,clone3,execve,fsync,fdatasync",
         *[w for pid in tree(system.pid) for w in ("-p", str(pid))]])
    time.sleep(1)  # strace says nothing when it has attached
    load(system, count, 10, True)
    tracer.terminate()
    tracer.wait()
    text = trace.read_text()
    forks = len(re.findall(r"^\d+ +(?:clone3?|v?fork)\(", text, re.M))
    execs = len(re.findall(r"^\d+ +execve\(", text, re.M))
    syncs = len(re.findall(r"^\d+ +f(?:data)?sync\(", text, re.M))
    return forks / count, execs / count, syncs / count


def show(what, runs):
    accepted, delivered, cpu = (statistics.median(x) for x in zip(*runs))
    print(f"  {what:8} accepted {accepted:6.0f}/s  delivered {delivered:6.0f}/s"
          f"  CPU {cpu:5.2f} ms a message")
    return delivered, cpu


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    systems = [Valija()]
    try:
        if os.geteuid() == 0:
            systems.append(Peer())
        print(f"{count} messages of 1 KiB, SMTP in, local Maildir out, "
              f"medians of {PAIRS}")
        for sessions, many in LOADS:
            print(f"{sessions} sessions, "
                  + ("many messages" if many else "1 message") + " a connection")
            runs = [[load(s, count, sessions, many) for s in systems]
                    for _ in range(PAIRS)]
            got = [show(s.name, [pair[n] for pair in runs])
                   for n, s in enumerate(systems)]
            if len(got) == 2:
                print(f"  delivered x{got[0][0] / got[1][0]:.2f}, "
                      f"CPU x{got[0][1] / got[1][1]:.2f}")
        for system in systems:
            forks, execs, syncs = syscalls(system, min(count, 300))
            print(f"{system.name}, a message: forks {forks:.2f}, "
                  f"execs {execs:.2f}, syncs {syncs:.2f}")
    finally:
        for system in systems:
            system.close()


main()
