#!/usr/bin/python3
"""valija beside Debian's Postfix, on one machine, on one file system, in turn.

usage: tests/bench/run [--quick] [--disk ext4|xfs|ext4-no-journal|here] [--here]
                       [--only PART,PART] [--pairs N] [--messages N]
                       [--queue N] [--record] [--self-test]
       tests/bench/run --target HOST:PORT --to ADDRESS

Parts: floor local relay fanout latency memory calls queue silent service.
Wants root, and what ./setup check fetches. service is tcpserver, multilog,
supervise and svscan beside Debian's. doc/performance.md says what is measured
and how.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tests/bench"))

import content  # noqa: E402
import figures  # noqa: E402
import generator  # noqa: E402
import latency  # noqa: E402
import loads  # noqa: E402
import place  # noqa: E402
import proof  # noqa: E402
import service  # noqa: E402
from figures import Figure, median, percentile  # noqa: E402
from generator import KIB, Stream  # noqa: E402
from house import free_port  # noqa: E402
from systems import RELAY, Peer, Valija  # noqa: E402

RECORD = ROOT / "tests/bench/ratios.tsv"
PARTS = ("calls floor local relay fanout memory latency queue silent "
         "service").split()
ALONE = ("queue", "silent", "service")  # with systems of their own, or none
NOISY = 0.25  # of the machine used by others (and by kernel threads)


def say(text):
    print(text, file=sys.stderr, flush=True)


def local_loads():
    """(key, words, [(share, stream)], sizes)."""
    rows = []
    for sessions in (1, 10, 50):
        for many in (False, True):
            rows.append((f"local-1k-s{sessions}-{'many' if many else 'one'}",
                         f"{sessions} session{'s' * (sessions > 1)}, "
                         f"{generator.MANY if many else 1} a connection",
                         [(1, Stream(sessions, many))], [KIB]))
    for size in (10, 100):
        rows.append((f"local-{size}k-s10-many", f"10 sessions, {size} KiB",
                     [(1, Stream(10, True, size * KIB))], [size * KIB]))
    rows.append(("local-mix-s10-many", "10 sessions, 1, 10, 100 KiB as 6:3:1",
                 generator.mix(10), [size for _, size in generator.MIX]))
    return rows


class Bench:
    def __init__(self, options, disk):
        self.options = options
        self.disk = disk
        self.figures = []
        self.tool_figures = []
        self.lines = []    # what is said beside the table
        self.others = []
        self.generator = []
        self.failed = False

    # ---- the two systems ----

    def begin(self, folder, boxes, relay_port, dead_port):
        """Both, started; the folder is theirs."""
        home = self.disk.place / folder
        home.mkdir()
        say(f"making both systems, {boxes} mailboxes each")
        systems = [Valija(home, boxes, relay_port, dead_port),
                   Peer(home, boxes, relay_port, dead_port)]
        self.systems = []
        for system in systems:
            self.systems.append(system)
            system.start()
        mode = systems[0].sync_mode()
        if self.disk.sync_mode not in (None, mode):
            raise SystemExit(f"queue/format says sync {mode} on {self.disk.words}")

    def end(self):
        """Both are closed, whatever becomes of the first."""
        try:
            if self.systems:
                self.systems.pop().close()
        finally:
            if self.systems:
                self.end()

    # ---- pairs ----

    def pairs(self, key, words, one, unit="/s", value=lambda run: run.delivered,
              pairs=None, systems=None):
        """A B A B: one(system) gives a Run; the figure is of value(run)."""
        systems = systems or self.systems
        runs = {system.name: [] for system in systems}
        for n in range(pairs or self.options.pairs):
            for system in systems:
                run = one(system)
                runs[system.name].append(run)
                self.others.append(run.others)
                self.generator.append(run.generator_ms)
            say(f"  {key} {n + 1}: " + ", ".join(
                f"{name} {value(r[-1]):.0f} CPU {r[-1].cpu_ms:.2f} "
                f"others {100 * r[-1].others:.0f} %" for name, r in runs.items()))
        ours, peer = runs.values()
        figure = Figure(key, words, [value(r) for r in ours],
                        [value(r) for r in peer], unit,
                        [r.cpu_ms for r in ours], [r.cpu_ms for r in peer])
        if ours[0].accepted:
            a, b = ([r.accepted for r in runs] for runs in (ours, peer))
            figure.notes.append(
                f"accepted {figures.number(median(a))} to "
                f"{figures.number(median(b))}, "
                f"x {median(figures.pair_ratios(a, b)):.2f}")
        self.figures.append(figure)

    # ---- parts ----

    def floor(self):
        """What the generator and the protocol alone cost: no server is faster."""
        for sessions, many in (1, False), (10, False), (10, True), (50, True):
            runs = [loads.floor(self.counter, Stream(sessions, many, to=f"x@{RELAY}"),
                                self.options.messages)
                    for _ in range(self.options.pairs)]
            self.lines.append(
                f"smtp-sink, which takes and forgets, {sessions} sessions, "
                f"{generator.MANY if many else 1} a connection: "
                f"{median([r.accepted for r in runs]):.0f}/s, CPU ms a message: "
                f"{median([r.cpu_ms for r in runs]):.2f}, smtp-source's "
                f"{median([r.generator_ms for r in runs]):.2f}")
            say("  " + self.lines[-1])

    def local(self):
        for key, words, streams, sizes in local_loads():
            if self.options.load and self.options.load != key:
                continue
            templates = [generator.learn(size) for size in sizes]
            count = self.options.messages
            if max(sizes) > 10 * KIB and not self.options.load:
                count = max(300, count // 3)
            self.pairs(key, words, lambda system: loads.local(
                system, self.disk, streams, count, templates))

    def relay(self):
        for recipients in (1, 50):
            count = self.options.messages // (1 if recipients == 1 else 10)
            self.pairs(f"relay-1k-s10-r{recipients}",
                       f"relay, 10 sessions, {recipients} recipient"
                       f"{'s' * (recipients > 1)}",
                       lambda system: loads.relay(system, self.disk, self.counter,
                                                  10, recipients, count))

    def fanout(self):
        template = generator.learn(KIB)
        boxes = len(self.systems[0].boxes)
        self.pairs(f"fanout-{boxes}", f"one message to {boxes} mailboxes, "
                   "recipients", lambda system: loads.fan_out(
                       system, self.disk, template))

    def memory(self):
        template = generator.learn(KIB)
        peaks = {s.name: [] for s in self.systems}
        for _ in range(self.options.pairs):
            for system in self.systems:
                peaks[system.name].append(loads.memory(
                    system, self.disk, min(3000, self.options.messages), template))
        ours, peer = peaks.values()
        self.figures.append(Figure(
            "memory-s50", "private memory with 50 sessions (smaller is better)",
            ours, peer, " MiB", memory=median(ours)))

    def latency(self):
        for count in (1, 10, 50):
            messages = 200 if count == 1 else 1000
            if self.options.quick:
                messages //= 4
            got = {s.name: [] for s in self.systems}
            for _ in range(self.options.pairs):
                for system in self.systems:
                    got[system.name].append(latency.local(system, count, messages))
            for which, word in ((0, "accepted"), (1, "delivered")):
                for percent in (50, 99):
                    ours, peer = ([percentile(run[which], percent) for run in runs]
                                  for runs in got.values())
                    self.figures.append(Figure(
                        f"latency-s{count}-{word}-p{percent}",
                        f"{count} session{'s' * (count > 1)}, {word}, p{percent}",
                        ours, peer, " ms"))
            say(f"  latency with {count} sessions: done")

    def calls(self):
        template = generator.learn(KIB)
        for system in self.systems:
            say(f"  tracing {system.name}")
            self.lines += proof.run(system, self.disk, template,
                                    100 if self.options.quick else 300)
        port = self.counter.port
        self.counter.close()
        try:
            for system in self.systems:
                self.lines.append(proof.check_relay(system, port))
        finally:
            self.counter = generator.Counter(port)

    def queue(self, silent=False):
        """New mail beside a long queue of mail that nobody takes."""
        self.end()
        count = self.options.queue // (10 if silent else 1)
        key = "silent" if silent else "queue"
        remote, dead_port = latency.Remote(), free_port()
        host = latency.Silent(dead_port) if silent else None
        self.begin(key, 1, remote.port, dead_port)
        try:
            self.beside(key, count, remote)
        finally:
            if host:
                host.close()  # else a delivery that waits for it goes on
            self.end()
            remote.close()

    def beside(self, key, count, remote):
        messages, limit_s = (50, 10) if self.options.quick else (200, 30)
        template = generator.learn(KIB)
        before, after, singles = {}, {}, {}

        def rate(system):
            return loads.local(system, self.disk, [(1, Stream(10, True))],
                               self.options.messages, [template],
                               settled=False).accepted

        for system in self.systems:
            before[system.name] = rate(system)
            empty = [latency.single(system, messages, limit_s, to)
                     for to in (None, remote)]
            say(f"  {system.name}: filling the queue with {count:,}")
            filled = latency.fill(system, count)
            after[system.name] = rate(system)
            full = [latency.single(system, messages, limit_s, to)
                    for to in (None, remote)]
            singles[system.name] = full
            self.lines.append(
                f"{system.name}, {count:,} waiting for hosts that "
                + ("never answer" if key == "silent" else "refuse")
                + f": filled at {filled:.0f}/s; accepts {after[system.name]:.0f}/s, "
                f"{before[system.name]:.0f}/s before; new mail, p50 and p99 in ms: "
                + "; ".join(
                    f"{word} {figures.number(percentile(b, 50))}, "
                    f"{figures.number(percentile(b, 99))} (empty queue "
                    f"{figures.number(percentile(a, 50))}, "
                    f"{figures.number(percentile(a, 99))})"
                    + (f", {b.count(1000 * limit_s)} not within {limit_s} s"
                       if 1000 * limit_s in b else "")
                    for word, a, b in zip(("local", "remote"), empty, full)))
            say("  " + self.lines[-1])
        ours, peer = singles.values()
        for which, word in enumerate(("local", "remote")):
            for percent in (50, 99):
                self.figures.append(Figure(
                    f"{key}-{word}-p{percent}",
                    f"beside {count:,} dead, new {word} mail, p{percent}",
                    [percentile(ours[which], percent)],
                    [percentile(peer[which], percent)], " ms"))
        a, b = after.values()
        self.figures.append(Figure(f"{key}-accepted",
                                   f"beside {count:,} dead, accepted", [a], [b]))

    def silent(self):
        self.queue(silent=True)

    def service(self):
        """No mail: these rows are a table of their own."""
        self.end()
        beside, self.figures = self.figures, []
        tools = service.Service(self, self.disk.place,
                                os.environ.get("VALIJA_BIN", ROOT / "build/bin"))
        try:
            tools.run(self.options.quick)
        finally:
            tools.close()
            self.tool_figures, self.figures = self.figures, beside

    def part(self, name):
        """One that fails does not take the others' figures with it."""
        say(name)
        try:
            getattr(self, name)()
        except (content.Wrong, RuntimeError, AssertionError, OSError) as error:
            self.failed = True
            self.lines.append(f"FAILED: {name}: {error}")
            say(self.lines[-1])

    def run(self):
        self.systems = []
        self.counter = generator.Counter()
        try:
            first = [p for p in self.options.only if p not in ALONE]
            if first:
                boxes = 1
                if "fanout" in first:
                    boxes = 100 if self.options.quick else 1000
                self.begin("both", boxes, self.counter.port, free_port())
            for part in PARTS:
                if part in self.options.only:
                    self.part(part)
        finally:
            self.counter.close()
            self.end()

    # ---- what is said ----

    def commit(self):
        def git(*words):
            return subprocess.run(["git", "-C", ROOT, *words], text=True,
                                  capture_output=True, check=False).stdout.strip()

        dirty = "+" if git("status", "--porcelain", "-uno") else ""
        return (git("rev-parse", "--short", "HEAD") or "unknown") + dirty

    def report(self):
        print(f"{self.disk.words}; {os.cpu_count()} processors; runs of "
              f"{self.options.messages:,} messages, medians of "
              f"{self.options.pairs} pairs in turn; commit {self.commit()}")
        if self.others:
            busy = median(self.others)
            print(f"Others, kernel threads included, used {100 * busy:.0f} % of the "
                  f"machine meanwhile{': noisy' if busy > NOISY else ''}; "
                  f"the load {median(self.generator):.2f} CPU ms each.")
        if self.figures:
            print("\n" + figures.table(self.figures) + "\n\nIn rows of ms and "
                  "MiB, and of CPU, less is better.\n")
        if self.tool_figures:
            print("\n" + figures.table(self.tool_figures, "Debian's",
                                       "connection or million lines") + "\n")
        for line in self.lines:
            print(line)
        every = self.figures + self.tool_figures
        text = figures.comparison(every, figures.read_record(RECORD))
        if text:
            print("\nratios, beside those recorded last:\n" + text)
        if self.options.record:
            figures.append_record(RECORD, every, self.commit())


def target(options):
    """Load a server that somebody else has started: acceptance only."""
    host = options.target.rsplit(":", 1)[0].strip("[]")
    if not (host == "::1" or host.startswith("127.") or options.beyond_loopback):
        raise SystemExit(f"{host} is another machine: --beyond-loopback to load it")
    for sessions in (1, 10, 50):
        for many in (False, True):
            stream = Stream(sessions, many, to=options.to)
            rates = []
            for _ in range(options.pairs):
                seconds, _ = generator.send([(1, stream)], options.messages,
                                            options.target)
                rates.append(options.messages / seconds)
            print(f"{sessions} sessions, {generator.MANY if many else 1} a "
                  f"connection: accepted {median(rates):.0f}/s "
                  f"({min(rates):.0f} to {max(rates):.0f})")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small runs")
    parser.add_argument("--disk", default="ext4", choices=[*place.KINDS, "here"])
    parser.add_argument("--here", action="store_const", const="here", dest="disk",
                        help="this machine's own file system, no image")
    parser.add_argument("--only", default=",".join(PARTS), help="parts")
    parser.add_argument("--load", help="one load of the part local")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--messages", type=int)
    parser.add_argument("--queue", type=int, help="messages that wait")
    parser.add_argument("--record", action="store_true",
                        help="append to tests/bench/ratios.tsv")
    parser.add_argument("--self-test", action="store_true",
                        help="are programs that do not sync found out?")
    parser.add_argument("--target", help="HOST:PORT of a server to load instead")
    parser.add_argument("--to", default=generator.RECIPIENT)
    parser.add_argument("--beyond-loopback", action="store_true")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if set(options.only) - set(PARTS):
        parser.error(f"parts are {' '.join(PARTS)}")
    options.messages = options.messages or (500 if options.quick else 3000)
    options.queue = options.queue or (10000 if options.quick else 100000)
    return options


def main():
    options = arguments()
    # Whatever ends us, the image is unmounted.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(111))
    if options.target:
        target(options)
        return 0
    if os.geteuid() != 0:
        raise SystemExit("the bench wants root: mounts, control groups, users")
    if options.self_test:
        return proof.self_test()
    with place.make(options.disk) as disk:
        bench = Bench(options, disk)
        bench.run()
        bench.report()
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
