"""The checks that no figure can be had without: what a system does is traced,
and each promise must rest on a sync. A build that does not sync is found out.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import calls as syscalls
import content
import durability
import generator
import place
from arrivals import Arrivals
from loads import settle
from systems import RELAY, Valija, empty

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Which program each fault is in, and on which disk it is one.
MUTANTS = {
    "queue_no_sync": ("qmail-queued", "ext4", "0"),
    "queue_syncs_other": ("qmail-queued", "ext4", "0"),
    "queue_answers_first": ("qmail-queued", "ext4", "0"),
    "queue_no_dir_sync": ("qmail-queued", "ext4-no-journal", "0"),
    "log_no_sync": ("qmail-queued", "ext4", None),
    "log_syncs_other": ("qmail-queued", "ext4", None),
    "maildir_no_sync": ("qmail-local", "ext4", None),
    "maildir_syncs_early": ("qmail-local", "ext4", None),
    "maildir_no_dir_sync": ("qmail-local", "ext4-no-journal", None),
    "done_first": ("qmail-send", "ext4", "0"),
}


def trace(system, template, count, path):
    """(calls, {pid: (program, directory)}) of a run with ten sessions."""
    # What is started once is started before.
    generator.send([(1, generator.Stream(10, True))], 50, system.where)
    settle(system)
    empty(system, ["luis"])

    def work():
        with Arrivals([system.mailbox()]) as arrivals:
            generator.send([(1, generator.Stream(10, True))], count, system.where)
            arrivals.wait(count)
        settle(system)

    names = syscalls.trace(system.account, path, work)
    content.check_folder(system.mailbox(), [template], [count])
    with open(path, errors="surrogateescape") as file:
        return syscalls.parse(file), names


def folders(system):
    """(queue, mailboxes)."""
    mail = "vpopmail" if system.name == "valija" else "mail"
    return str(system.top / "queue"), str(system.top / mail)


def judge(found, names, system, mode):
    """((answers, faults), (deliveries, faults))."""
    story = durability.Story(found, {pid: cwd for pid, (_, cwd) in names.items()})
    queue, mail = folders(system)
    return (durability.check_answers(story, queue, mode),
            durability.check_deliveries(story, queue, mail, mode, mode))


def run(system, disk, template, count):
    """Lines for the report; what is wrong with ours ends the bench."""
    with tempfile.TemporaryDirectory() as folder:
        found, names = trace(system, template, count, f"{folder}/trace")
    costs, programs = syscalls.count(found, names, count)
    mode = disk.sync_mode or "posix"
    (answers, early), (deliveries, loose) = judge(found, names, system, mode)
    lines = [f"{system.name}, a message (10 sessions, traced, {count} messages): "
             + ", ".join(f"{what} {n:.2f}" for what, n in costs.items()),
             syscalls.show_programs(programs),
             f"{system.name}: {answers - len(early)} of {answers} answers 250, "
             f"{deliveries - len(loose)} of {deliveries} marks of delivery rest "
             "on a sync of file and name"
             + (f"; first: {(early + loose)[0]}" if early + loose else "")]
    if isinstance(system, Valija):
        if early or loose:
            raise content.Wrong("\n".join((early + loose)[:10]))
        if answers != count or deliveries < count:
            raise content.Wrong(f"only {answers} answers and {deliveries} "
                                f"deliveries of {count} were seen")
    return lines


# ---- relaying ----

def parse_dump(lines):
    """(Message-Id, recipient) of everything that smtp-sink -D wrote down."""
    found, waiting = [], []
    for line in lines:
        if line.startswith("X-Rcpt-Args:"):
            waiting.append(line.split("<", 1)[1].split(">", 1)[0])
        elif line.startswith("Message-Id:") and waiting:
            token = line.split("<", 1)[1].split(">", 1)[0]
            found += [(token, to) for to in waiting]
            waiting = []
    return found


def check_relay(system, port, messages=20, each=50):
    """Each of many recipients gets each message, once. (transactions, line)"""
    folder = pathlib.Path(tempfile.mkdtemp(dir=place.TOP))
    folder.chmod(0o777)
    counter = generator.Counter(port, folder / "dump")
    try:
        stream = generator.Stream(10, True, to=f"x@{RELAY}", recipients=each)
        generator.send([(1, stream)], messages, system.where)
        counter.wait(messages)
        settle(system)
        with open(folder / "dump", errors="replace") as file:
            found = parse_dump(file)
        if len(found) != messages * each or len(set(found)) != len(found):
            raise content.Wrong(
                f"{system.name}: {len(set(found))} of {messages * each} "
                f"recipients at the sink, {len(found)} deliveries")
        return (f"{system.name}: {messages} messages to {each} recipients each "
                f"at one host: all there, once, in {counter.messages} transactions")
    finally:
        counter.close()
        shutil.rmtree(folder)


# ---- the self-test ----

def mutant_programs(name, program, folder):
    """All programs, one of them with a fault."""
    target = ROOT / f"build-mutant-{name}"
    try:
        subprocess.run(
            ["make", "-s", f"-j{os.cpu_count()}", f"MUTANT={name}",
             f"build-mutant-{name}/bin/{program}"],
            cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        shutil.copytree(os.environ.get("VALIJA_BIN", ROOT / "build/bin"), folder)
        shutil.copy(target / "bin" / program, folder / program)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def caught(name, count=40):
    """(log or files, what the checker finds) in programs with this fault."""
    program, kind, log = MUTANTS[name]
    return faults_of(kind, log, count, name=name, program=program)


def faults_of(kind, log, count, name=None, program=None):
    template = generator.learn(generator.KIB)
    with tempfile.TemporaryDirectory(dir=place.TOP) as folder, \
            place.Image(place.KINDS[kind], 1024 * place.MB) as disk:
        bin = None
        if name:
            bin = pathlib.Path(folder) / "bin"
            mutant_programs(name, program, bin)
        system = Valija(disk.place, 1, 1, 1, bin=bin)
        if log is not None:
            system.house.control("queuelog", log)
        try:
            system.start()
            found, names = trace(system, template, count, f"{folder}/trace")
        finally:
            system.close()
        (_, early), (_, loose) = judge(found, names, system, disk.sync_mode)
        logged = any(call.name == "pwritev" and "/queue/log/" in call.args
                     for call in found)
        return "log" if logged else "files", early + loose


def self_test():
    """Every fault must be found, and none where there is none."""
    missed = 0
    for kind in ("ext4", "ext4-no-journal"):
        for log in (None, "0"):
            used, faults = faults_of(kind, log, 40)
            print(f"no fault, {kind}, {used}: {len(faults)} found "
                  f"{faults[:1] or ''}", flush=True)
            missed += bool(faults)
    for name in MUTANTS:
        used, faults = caught(name)
        print(f"{name}, {used}: {'caught: ' + faults[0] if faults else 'MISSED'}",
              flush=True)
        missed += not faults
    return 1 if missed else 0
