"""The system calls of one system, traced with strace and read again.

strace's lines are in the order in which it saw them: a call's end is seen
before anything that its process does next. So what has ended before another
call begins has happened before it, whichever processes made them.
"""

import collections
import dataclasses
import os
import pathlib
import re
import signal
import subprocess

from waiting import wait_for

# Long enough that a message of 1 KiB and what surrounds it is never cut.
OPTIONS = ["-f", "-qq", "-yy", "-s", "262144", "-e", "signal=none"]

LINE = re.compile(r"^(\d+) +(.*)$", re.S)
WHOLE = re.compile(r"^(\w+)\((.*)\) += (.*)$", re.S)
BEGUN = re.compile(r"^(\w+)\((.*?) ?<unfinished \.\.\.>$", re.S)
RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)\) += (.*)$", re.S)
DESCRIPTOR = re.compile(r"(-?\d+|AT_FDCWD)<((?:->|<->|[^<>])*)>(\(deleted\))?")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclasses.dataclass
class Call:
    pid: int
    name: str
    args: str
    result: str  # as strace prints it
    begin: int   # numbers of its lines
    end: int

    @property
    def ok(self):
        return not self.result.startswith(("-1", "?"))

    @property
    def value(self):
        found = re.match(r"-?\d+", self.result)
        return int(found.group()) if found else None


def parse(lines):
    """Every call that has ended, by its end."""
    open_calls, calls = {}, []
    for number, line in enumerate(lines):
        found = LINE.match(line.rstrip("\n"))
        if not found:
            continue
        pid, text = int(found.group(1)), found.group(2)
        if (whole := WHOLE.match(text)):
            calls.append(Call(pid, whole[1], whole[2], whole[3], number, number))
        elif (begun := BEGUN.match(text)):
            open_calls[pid] = (begun[1], begun[2], number)
        elif (resumed := RESUMED.match(text)) and pid in open_calls:
            name, args, begin = open_calls.pop(pid)
            if name == resumed[1]:
                calls.append(Call(pid, name, args + resumed[2], resumed[3],
                                  begin, number))
    return calls


def first_descriptor(args):
    """(number, what it is) of a call's first argument, or None."""
    found = DESCRIPTOR.match(args)
    return (found[1], found[2]) if found else None


def paths(args, cwd):
    """The paths that a call names, absolute: of renameat2, linkat, unlink ..."""
    found, at = [], 0
    while at < len(args):
        base = DESCRIPTOR.match(args, at)
        if base:
            at = base.end()
            if args.startswith(", ", at):
                at += 2
            text = STRING.match(args, at)
            if text:
                found.append(os.path.normpath(os.path.join(base[2], text[1])))
                at = text.end()
        else:
            text = STRING.match(args, at)
            if text:
                found.append(os.path.normpath(os.path.join(cwd or "/", text[1])))
                at = text.end()
            else:
                at = args.find(", ", at) if ", " in args[at:] else len(args)
        while at < len(args) and args[at] in ", ":
            at += 1
    return found


# ---- running it ----

def traced(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended meanwhile
    return re.search(r"^TracerPid:\t0$", text, re.M) is None


def names_of(pids):
    found = {}
    for pid in pids:
        try:
            found[pid] = (pathlib.Path(f"/proc/{pid}/comm").read_text().strip(),
                          os.readlink(f"/proc/{pid}/cwd"))
        except OSError:
            pass
    return found


def trace(account, path, work):
    """Trace all processes while work() runs; {pid: (program, directory)}."""
    pids = account.pids()
    names = names_of(pids)
    tracer = subprocess.Popen(
        ["strace", *OPTIONS, "-o", str(path),
         *[word for pid in pids for word in ("-p", str(pid))]],
        stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: tracer.poll() is not None or all(map(traced, pids)), 20,
                 "strace to take hold of every process")
        work()
        names.update({pid: name for pid, name in names_of(account.pids()).items()
                      if pid not in names})
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
    return names


# ---- counting ----

FORKS = {"fork", "vfork", "clone", "clone3"}
SYNCS = {"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"}


def follow_names(calls, names):
    """(call, the program that made it) for each."""
    program = {pid: name for pid, (name, _) in names.items()}
    for call in calls:
        yield call, program.get(call.pid, "?")
        if not call.ok:
            continue
        if call.name in FORKS and call.value:
            program.setdefault(call.value, program.get(call.pid, "?"))
        elif call.name == "execve":
            text = STRING.match(call.args)
            program[call.pid] = os.path.basename(text[1]) if text else "?"


def count(calls, names, messages):
    """Per message: forks, execs, syncs, all calls; and calls by program."""
    total = collections.Counter()
    programs = collections.defaultdict(collections.Counter)
    for call, program in follow_names(calls, names):
        total["calls"] += 1
        programs[program][call.name] += 1
        if call.ok:
            total["forks"] += call.name in FORKS
            total["execs"] += call.name == "execve"
            total["syncs"] += call.name in SYNCS
    return ({what: total[what] / messages
             for what in ("forks", "execs", "syncs", "calls")},
            {name: {call: n / messages for call, n in c.items()}
             for name, c in programs.items()})


def show_programs(programs, most=8):
    lines = []
    for name, counter in sorted(programs.items(),
                                key=lambda item: -sum(item[1].values())):
        total = sum(counter.values())
        if total >= 0.05:
            few = sorted(counter.items(), key=lambda item: -item[1])[:most]
            lines.append(f"  {name:16} {total:6.1f}  "
                         + " ".join(f"{call} {n:.2f}" for call, n in few))
    return "\n".join(lines)
