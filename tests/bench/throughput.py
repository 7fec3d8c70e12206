#!/usr/bin/python3
"""Messages a second from SMTP into a Maildir, and what one costs.

usage: tests/bench/throughput.py [messages]

Starts a house of its own from build/bin (no test clock), loads it with
Postfix's smtp-source, waits until every message lies in the mailbox, counts
them, and prints rates, CPU and, from a separate short run under strace, the
forks, execs and syncs a message.
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

from house import DOMAIN, House  # noqa: E402

PEER = ROOT / ".peer/postfix/usr"
TICK = os.sysconf("SC_CLK_TCK")


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


def empty(house):
    for path in (house.maildir() / "new").iterdir():
        path.unlink()


def load(house, count, sessions, many):
    env = dict(os.environ, LD_LIBRARY_PATH=str(PEER / "lib/postfix"))
    command = [PEER / "sbin/smtp-source", "-s", str(sessions), "-l", "1024",
               "-m", str(count), "-f", f"ana@{DOMAIN}", "-t", f"luis@{DOMAIN}"]
    if many:
        command.append("-d")
    empty(house)
    cpu = cpu_seconds(house.svscan.pid)
    start = time.monotonic()
    subprocess.run([*command, f"127.0.0.1:{house.smtp_port}"], env=env, check=True)
    accepted = time.monotonic() - start
    new = house.maildir() / "new"
    while len(os.listdir(new)) < count:
        time.sleep(0.005)
        if time.monotonic() - start > 600:
            sys.exit("the messages did not arrive within 10 minutes")
    delivered = time.monotonic() - start
    house.wait_queue_empty()
    cpu = cpu_seconds(house.svscan.pid) - cpu
    assert len(os.listdir(new)) == count
    return count / accepted, count / delivered, 1000 * cpu / count


def syscalls(house, count):
    """forks, execs and syncs a message, counted by strace."""
    trace = house.home / "strace.out"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", trace, "-e",
         "trace=fork,vfork,clone,clone3,execve,fsync,fdatasync",
         *[w for pid in tree(house.svscan.pid) for w in ("-p", str(pid))]])
    time.sleep(1)  # strace says nothing when it has attached
    load(house, count, 10, True)
    tracer.terminate()
    tracer.wait()
    text = trace.read_text()
    counts = {}
    for name in ("clone3", "clone", "vfork", "fork", "execve", "fsync", "fdatasync"):
        counts[name] = len(re.findall(rf"^\d+ +{name}\(", text, re.M)) / count
    return counts


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    house = House(os.environ.get("VALIJA_BIN", ROOT / "build/bin"))
    try:
        house.add_domain()
        house.start()
        print(f"{count} messages of 1 KiB, SMTP in, local Maildir out, medians of 3")
        for sessions, many in ((1, False), (10, False), (10, True)):
            runs = [load(house, count, sessions, many) for _ in range(3)]
            accepted, delivered, cpu = (statistics.median(x) for x in zip(*runs))
            what = "many messages a connection" if many else "1 message a connection"
            print(f"{sessions:3} sessions, {what}: accepted {accepted:.0f}/s, "
                  f"delivered {delivered:.0f}/s, CPU {cpu:.2f} ms a message")
        counts = syscalls(house, min(count, 200))
        print("a message: " + ", ".join(f"{k} {v:.2f}" for k, v in counts.items()))
    finally:
        house.stop()
        house.remove()


main()
