"""tcpserver, multilog, supervise and svscan beside Debian's ucspi-tcp and
daemontools: no mail in it."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tests/bench"))

import account  # noqa: E402
from account import Account  # noqa: E402
from content import Wrong  # noqa: E402
from daemontools import DEBIAN, make_service, need_debian, pid_of, run  # noqa: E402
from figures import Figure  # noqa: E402
from loads import Meter, Run  # noqa: E402
from waiting import wait_for  # noqa: E402

MB = 1000 * 1000
LINE = b"delivery %d: success: 127.0.0.1_accepted_message./Remote_host_said:_250_2.0.0_ok/"
# What is compared: [(key, words, script)].
SCRIPTS = [
    ("plain", "as it is", ["s16777215", "n1000", "./main"]),
    ("label", "with labels", ["t", "s16777215", "n1000", "./main"]),
    ("select", "with labels, three patterns",
     ["t", "-*", "+* delivery *: success: *", "-* delivery *: failure: *", "s16777215", "n1000",
      "./main"]),
]
# [(key, words, options, whether there are rules)].
SERVERS = [("plain", "no names, no rules", ["-HRl0"], False),
           ("rules", "no names, rules, -v", ["-vHRl0"], True)]


class Tools:
    """The programs of one folder, accounted for."""

    def __init__(self, name, folder, place):
        self.name = name
        self.bin = pathlib.Path(folder)
        self.place = pathlib.Path(place) / name
        self.place.mkdir()
        self.account = Account(name)

    def start(self, program, *args, **kw):
        with self.account:
            return subprocess.Popen([self.bin / program, *map(str, args)], **kw)

    def close(self):
        self.account.close()
        shutil.rmtree(self.place)


def knock_program(place):
    """The client and the server of a connection, as light as they can be."""
    path = place / "knock"
    subprocess.run(["cc", "-O2", "-static", "-o", path, ROOT / "tests/bench/knock.c"], check=True)
    return path


def rule_file(tools, place):
    text = b"".join(b"10.%d.:deny\n" % n for n in range(250)) + b"127.:allow,RELAYCLIENT=\"\"\n"
    cdb = place / "cdb"
    subprocess.run([tools.bin / "tcprules", cdb, place / "cdb.tmp"], input=text, check=True)
    return ["-x", cdb]


def cpu_of_children_ms():
    """Of those that were waited for: the load's own."""
    now = os.times()
    return 1000 * (now.children_user + now.children_system)


def connections(tools, knock, options, count, clients):
    """Connect, banner, QUIT: a second, and CPU of tcpserver and its children."""
    server = tools.start("tcpserver", "-1", *options, "-c100", "-b500", "127.0.0.1", "0", knock,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = server.stdout.readline().strip()
        meter = Meter(tools)
        before = cpu_of_children_ms()
        done = subprocess.run([knock, port, str(count), str(clients)], capture_output=True)
        if done.returncode:
            raise Wrong(f"{tools.name}: a connection was not served")
        return meter.finish(Run(delivered=count / float(done.stdout)), count,
                            cpu_of_children_ms() - before)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def log_lines(place, count):
    path = place / "lines"
    with open(path, "wb") as file:
        for n in range(count):
            file.write(LINE % n + b"\n")
    return path


def log_is_complete(main, lines, labels):
    """Every line is in the log, in order."""
    names = sorted(main.glob("@*")) + [main / "current"]
    with open(lines, "rb") as want:
        for name in names:
            with open(name, "rb") as have:
                for line in have:
                    if line[26 if labels else 0:] != want.readline():
                        return False
        return want.read(1) == b""


def logging(tools, lines, count, script):
    """Lines a second through a pipe; CPU is of a million lines."""
    shutil.rmtree(tools.place / "main", ignore_errors=True)
    meter = Meter(tools)
    feeder = subprocess.Popen(["cat", lines], stdout=subprocess.PIPE)
    writer = tools.start("multilog", *script, stdin=feeder.stdout, cwd=tools.place)
    feeder.stdout.close()
    code = writer.wait()
    seconds = time.monotonic() - meter.start
    before = cpu_of_children_ms()
    feeder.wait()
    result = meter.finish(Run(delivered=count / seconds), count / MB,
                          cpu_of_children_ms() - before)
    if code or not log_is_complete(tools.place / "main", lines, script[0] == "t"):
        raise Wrong(f"{tools.name}: multilog lost lines")
    return result


def parse_anonymous(text):
    """KiB that are in no file: what swap would have to take."""
    return sum(int(line.split()[1]) for line in text.splitlines()
               if line.startswith("Anonymous:"))


def rollups(tools, count):
    """What the kernel says of svscan and all supervises, once there are so
    many: a child is a supervise, too, until it has become ./run."""
    pids = [pid for pid in tools.account.pids()
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in ("svscan", "supervise")]
    if len(pids) != count:
        return None
    return [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]


def memory(tools, services):
    """KiB of svscan and the supervises, by service with a log: private, the
    text of a program that only one process runs included; and anonymous."""
    top = tools.place / "services"
    for n in range(services):
        make_service(top / f"s{n}", "exec sleep 1000\n", log="exec cat >/dev/null\n")
    parts = [top / f"s{n}" / part for n in range(services) for part in (".", "log")]
    svscan = tools.start("svscan", top, env={"PATH": f"{tools.bin}:/usr/bin:/bin"},
                         stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for part in parts:
            wait_for(lambda: (part / "supervise/status").exists() and pid_of(part), 60, str(part))
        texts = wait_for(lambda: rollups(tools, 2 * services + 1), 60, "every ./run to be run")
        return [sum(map(parse, texts)) / services for parse in (account.parse_private, parse_anonymous)]
    finally:
        svscan.kill()
        svscan.wait()
        for part in parts:
            run(tools.bin / "svc", "-dx", part)
        wait_for(lambda: not tools.account.pids(), 60, "all services to end")
        shutil.rmtree(top)


class Service:
    """The part `service` of the bench: its rows beside Debian's."""

    def __init__(self, bench, place, ours):
        need_debian()
        self.bench = bench
        self.place = pathlib.Path(place) / "service"
        self.place.mkdir()
        self.place.chmod(0o755)
        self.tools = [Tools("valija", ours, self.place), Tools("debian", DEBIAN, self.place)]
        self.knock = knock_program(self.place)

    def close(self):
        for tools in self.tools:
            tools.close()
        shutil.rmtree(self.place)

    def servers(self, count):
        for key, words, options, with_rules in SERVERS:
            for clients in (1, 10):
                self.bench.pairs(
                    f"tcpserver-{key}-c{clients}",
                    f"tcpserver, {words}, {clients} at a time",
                    lambda tools: connections(
                        tools, self.knock,
                        options + (rule_file(tools, self.place) if with_rules else []),
                        count, clients), systems=self.tools)

    def logs(self, count):
        lines = log_lines(self.place, count)
        each = lines.stat().st_size / count
        for key, words, script in SCRIPTS:
            self.bench.pairs(f"multilog-{key}", f"multilog, {words}, lines",
                             lambda tools: logging(tools, lines, count, script),
                             systems=self.tools)
            figure = self.bench.figures[-1]
            figure.notes.append("MB/s: " + " to ".join(
                f"{sorted(runs)[len(runs) // 2] * each / MB:.0f}"
                for runs in (figure.ours, figure.peer)))

    def memory(self, services):
        found = {tools.name: [] for tools in self.tools}
        for _ in range(self.bench.options.pairs):
            for tools in self.tools:
                found[tools.name].append(memory(tools, services))
        for index, word in enumerate(("private", "anonymous")):
            ours, peer = ([row[index] for row in rows] for rows in found.values())
            self.bench.figures.append(Figure(
                f"memory-service-{services}-{word}",
                f"svscan and supervises, {word} memory by service and log, {services} of them "
                "(less is better)", ours, peer, " KiB"))

    def run(self, quick):
        self.servers(self.bench.options.messages)
        self.logs(200_000 if quick else 1_000_000)
        for services in (6, 50):
            self.memory(services)
