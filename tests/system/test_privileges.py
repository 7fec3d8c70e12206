"""Privileges as doc/privileges.md lists them, in a house where mail flows."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

import processes
from house import DOMAIN, PASSWORD, ROOT, House
from processes import Sockets
from waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.skipif(
    "build-san" in os.environ.get("VALIJA_BIN", ""),
    reason="sanitizer builds have libraries, and no filters")]

HERE = "mail.example.test"  # the house's own domain, whose mail alias gets
TABLE = ROOT / "doc/privileges.md"
COLUMNS = ["user", "caps", "bounding", "nnp", "seccomp", "dump"]


# ---- the table ----

def table():
    """{process: {column: text}}"""
    rows = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip().replace("`", "") for cell in
                 re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 9 or cells[0] in ("process", "---"):
            continue
        name = cells[0].replace("\\|", "|")
        assert name not in rows, f"{name} is listed twice"
        rows[name] = dict(zip([*COLUMNS, "descriptors", "libraries"], cells[1:]))
    assert rows, f"no table in {TABLE}"
    return rows


def parse_descriptors(text):
    """({0: word, 1: ..., 2: ...}, {word: (least, most)})"""
    standard, others = {}, {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        number = re.match(r"([012]) (.+)", item)
        if number:
            standard[int(number.group(1))] = number.group(2)
            continue
        least, most = 1, 1
        count = re.search(r" ×(\d+)(\+?)$", item)
        if count:
            least = int(count.group(1))
            most = 10 ** 6 if count.group(2) else least
            item = item[:count.start()]
        elif item.endswith("?"):
            item, least = item[:-1], 0
        others[item] = (least, most)
    return standard, others


def test_the_table_has_every_program_of_the_readme(bin):
    diagram = (ROOT / "README.md").read_text().split("## Who starts whom")[1]
    diagram = diagram.split("## A message's way")[0]
    named = {program.name for program in bin.iterdir()} & set(re.findall(r"[\w-]+", diagram))
    listed = {name.split(" ")[0] for name in table()}
    assert len(named) > 10
    assert named - listed == {"qmail-start"}, "lines are missing"  # it becomes qmail-send


# ---- the house ----

class SlowServer:
    """Takes a connection, greets, and then takes its time."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.taken = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.taken.append(peer)
            peer.sendall(b"220 slow.test\r\n")

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.listener.close()
        for peer in self.taken:
            peer.close()


class Strict(House):
    """As installed: what tests are otherwise spared (lib/sandbox.h) holds."""

    def start(self):
        for name in ("qmail-smtpd", "qmail-pop3d"):
            (self.home / "service" / name / "env/VALIJA_TEST_STRICT").write_text("1\n")
        for run in self.home.glob("service/*/run"), self.home.glob("service/*/log/run"):
            for path in run:
                text = path.read_text()
                assert text.startswith("#!/bin/sh\n")
                text = text.replace("#!/bin/sh\n", "#!/bin/sh\nVALIJA_TEST_STRICT=1\n"
                                    "export VALIJA_TEST_STRICT\n")
                path.write_text(text.replace("env - ", "env - VALIJA_TEST_STRICT=1 "))
        groups = os.getgroups()
        os.setgroups([])
        try:
            super().start()
            wait_for(lambda: self.pids("qmail-rspawn"), 30, "qmail-send")
        finally:
            os.setgroups(groups)

    def ids(self, role):
        for line in (self.home / "users/ids").read_text().splitlines():
            fields = line.split()
            if fields[0] == role:
                return int(fields[1]), int(fields[2])
        raise KeyError(role)


class Busy:
    """A house with one of everything in the middle of its work."""

    def __init__(self, bin):
        self.house = Strict(bin)
        self.open = []
        self.fifos = []
        try:
            self.house.add_domain()
            self.make_lingering()
            self.house.start()
            self.make_mail_flow()
        except BaseException:
            self.close()
            raise

    def fifo(self, path):
        os.mkfifo(path)
        path.chmod(0o666)
        self.fifos.append(path)
        return path

    def make_lingering(self):
        house = self.house
        fifo = self.fifo(house.home / "alias-fifo")
        rule = house.home / "alias/.qmail-linger"
        rule.write_text(f"|exec cat {fifo}\n")
        fifo = self.fifo(house.home / "luis-fifo")
        rule = house.maildir("luis").parent / ".qmail"
        rule.write_text(f"|exec cat {fifo}\n")
        # The line as vadddomain writes it would start no vdelivermail.
        line = rule.parent.parent / ".qmail-default"
        line.write_text(line.read_text().replace("| ", "|exec "))
        rule.chmod(0o600)
        os.chown(rule, *house.ids("vpopmail"))

    def make_mail_flow(self):
        house = self.house
        self.slow = SlowServer()
        house.control("smtproutes", f"slow.test:127.0.0.1:{self.slow.port}\n")
        big = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"
        house.send(big, to=[f"linger@{HERE}", f"luis@{DOMAIN}", "bob@slow.test"])
        house.send(big + b"y" * 70000 + b"\r\n", to=["bob@slow.test"])
        reading = house.pop3("ana")
        reading.stat()
        asking = socket.create_connection(("127.0.0.1", house.pop3_port))
        assert asking.recv(100).startswith(b"+OK")
        writing = house.smtp()
        writing.ehlo()
        writing.mail(f"ana@{DOMAIN}")
        writing.rcpt(f"ana@{DOMAIN}")
        writing.putcmd("data")
        assert writing.getreply()[0] == 354
        writing.send(b"Subject: half\r\n")
        self.open = [writing, asking]
        self.reading = reading
        wait_for(lambda: len(self.slow.taken) == 2, 30, house.story)

    def close(self):
        for thing in self.open:
            thing.close()
        if hasattr(self, "reading"):
            self.reading.close()
        if hasattr(self, "slow"):
            self.slow.close()
        for path in self.fifos:
            try:  # lets the program end
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass
        self.house.stop()
        self.house.remove()


@pytest.fixture(scope="module")
def busy(bin):
    made = Busy(bin)
    yield made
    made.close()


# ---- what there is ----

class Snapshot:
    """Every process of the house at one moment, by its name in the table."""

    def __init__(self, house):
        self.house = house
        self.bin = str(house.home / "bin") + "/"
        self.roles = {}
        for line in (house.home / "users/ids").read_text().splitlines():
            name, *numbers = line.split()
            if len(numbers) == 2:
                self.roles[name] = tuple(map(int, numbers))
        rows = processes.tree(house.svscan.pid)
        self.parents = dict(rows)
        self.exes = {pid: processes.exe(pid) for pid, _ in rows}
        self.sockets = Sockets({house.smtp_port, house.pop3_port})
        self.logs = {os.readlink(f"/proc/{pid}/fd/0") for pid in self.exes
                     if self.program(pid) == "supervise" and
                     processes.argv(pid)[1] == "log"}

    def program(self, pid):
        exe = self.exes.get(pid, "")
        return exe.removeprefix(self.bin) if exe.startswith(self.bin) else None

    def name(self, pid):
        program = self.program(pid)
        parent = self.program(self.parents[pid])
        if program is None:
            return "|program"
        if program == "supervise" and processes.argv(pid)[1] == "log":
            return "supervise (log)"
        if program == "tcpserver":
            args = processes.argv(pid)
            return f"tcpserver ({'SMTP' if 'qmail-smtpd' in args else 'POP3'})"
        if program == "qmail-queued" and parent == program:
            return "qmail-queued (committer)"
        if program == "qmail-popup":
            return f"qmail-popup ({'parser' if parent == program else 'monitor'})"
        return program

    def facts(self, pid):
        """What the table's columns say of it."""
        s = processes.status(pid)
        ids = {tuple(s[name].split()) for name in ("Uid", "Gid")}
        uid, gid = int(s["Uid"].split()[0]), int(s["Gid"].split()[0])
        known = [role for role, pair in self.roles.items() if pair == (uid, gid)]
        facts = {
            "user": known[0] if known else f"{uid}:{gid}",
            "caps": processes.cap_names(s["CapEff"]),
            "bounding": processes.cap_names(s["CapBnd"]),
            "nnp": "yes" if s["NoNewPrivs"] == "1" else "no",
            "seccomp": "filter" if s["Seccomp"] == "2" else "no",
            "dump": "-" if uid == 0 else
                    "yes" if processes.is_dumpable(pid) else "no",
        }
        oddities = []
        if any(len(set(four)) != 1 for four in ids):
            oddities.append(f"mixed ids {s['Uid']} / {s['Gid']}")
        if not set(s["Groups"].split()) <= {str(gid)}:
            oddities.append(f"groups {s['Groups']}")
        if s["CapPrm"] != s["CapEff"] or int(s["CapInh"], 16) or int(s["CapAmb"], 16):
            oddities.append("capabilities permitted, inheritable or ambient")
        return facts, oddities

    def descriptors(self, pid):
        return {int(fd): processes.descriptor(pid, fd, self.house.home,
                                              self.sockets, self.logs)
                for fd in os.listdir(f"/proc/{pid}/fd")}

    # ---- against the table ----

    def differences(self, pid, row):
        facts, found = self.facts(pid)
        for column in COLUMNS:
            want = row[column].split(" or ")
            if facts[column] not in want:
                found.append(f"{column} is {facts[column]}, listed {row[column]}")
        found += self.descriptor_differences(pid, row["descriptors"])
        mapped = processes.libraries(pid, self.exes[pid])
        if row["libraries"] != "any" and mapped != set(row["libraries"].split(", ")) - {"none"}:
            found.append(f"libraries {', '.join(sorted(mapped)) or 'none'}")
        return found

    def descriptor_differences(self, pid, text):
        standard, others = parse_descriptors(text)
        have = self.descriptors(pid)
        found, counts = [], dict.fromkeys(others, 0)
        for fd in sorted(set(standard) | set(have)):
            word, closes = have.get(fd, (None, True))
            if fd <= 2:
                if word not in (standard.get(fd) or "").split(" or "):
                    found.append(f"descriptor {fd} is {word}")
                continue
            if not closes and word != "null":
                found.append(f"descriptor {fd}, {word}, is not close-on-exec")
            counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            least, most = others.get(word, (0, 0))
            if not least <= count <= most:
                found.append(f"descriptor {word} ×{count}")
        return found

    def compare(self, rows):
        lines, seen = [], set()
        for pid in self.exes:
            name = self.name(pid)
            seen.add(name)
            if name not in rows:
                lines.append(f"{name} ({pid}) has no line in the table")
                continue
            lines += [f"{name} ({pid}): {what}" for what in
                      self.differences(pid, rows[name])]
        return lines, seen


# Those that live for a moment only, and are held for a look.
MOMENTARY = {"qmail-getpw", "vchkpw"}


def test_every_process_is_as_the_table_says(busy):
    """FP5 among others: all is close-on-exec, and nothing inherited is left."""
    rows = table()
    lines, seen = ["nothing was looked at"], set()

    def agrees():
        nonlocal lines, seen
        try:
            lines, seen = Snapshot(busy.house).compare(rows)
        except (FileNotFoundError, ProcessLookupError):
            lines = ["processes come and go"]
        return not lines
    wait_for(agrees, 20, lambda: "\n".join(["the table to be true:", *lines]))
    assert set(rows) - seen == MOMENTARY, "lines of processes that there are not"


@pytest.mark.parametrize("name", sorted(MOMENTARY))
def test_short_lived_processes_too(busy, name, tmp_path):
    """Held by strace where they are about to end."""
    house = busy.house
    above = house.pids("qmail-lspawn" if name == "qmail-getpw" else "tcpserver")
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", "trace=exit_group",
         "-e", "inject=exit_group:delay_enter=3000000",
         *(word for pid in above for word in ("-p", str(pid)))],
        stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: all(processes.status(pid)["TracerPid"] != "0" for pid in above),
                 10, "strace")
        if name == "qmail-getpw":
            house.send(b"Subject: x\r\n\r\nx\r\n", to=[f"linger@{HERE}"])
        else:
            client = socket.create_connection(("127.0.0.1", house.pop3_port))
            client.sendall(f"USER ana@{DOMAIN}\r\nPASS wrong\r\n".encode())
        pid, = wait_for(lambda: house.pids(name), 20, name)
        wait_for(lambda: processes.read(pid, "syscall").startswith("231 "), 10, "its end")
        shot = Snapshot(house)
        assert not shot.differences(pid, table()[name])
        assert b"wrong" not in processes.read(pid, "cmdline").encode()
        assert "linger" not in processes.read(pid, "cmdline")
    finally:
        tracer.terminate()
        tracer.wait()


# ---- what a user's program can find ----

# Runs as a |program until the file `enough` is there, and writes down all it
# can read: of itself, of every other process, of the queue, and in the end of
# the whole house, its logs among it.
SLEUTH = r"""
import json, os, sys
home, out, enough = sys.argv[1:]
found = {}

def note(name, read):
    try:
        text = read()
    except OSError as error:
        text = b"! " + str(error).encode()
    found.setdefault(name, set()).add(bytes(text))

def slurp(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)

for fd in os.listdir("/proc/self/fd"):
    note(f"own fd {fd}", lambda: os.readlink(f"/proc/self/fd/{fd}").encode())
note("own stdin", lambda: os.pread(0, 1 << 20, 0))
for name, value in os.environb.items():
    note(f"own env {name.decode()}", lambda: value)

def look_at_others():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        note("cmdlines", lambda: slurp(f"/proc/{pid}/cmdline"))
        note("comms", lambda: slurp(f"/proc/{pid}/comm"))
        if pid in seen:
            continue
        seen.add(pid)
        for name in ("environ", "mem", "maps", "stack", "auxv"):
            note(f"{pid} {name}", lambda: slurp(f"/proc/{pid}/{name}"))
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                note(f"{pid} fd {fd}", lambda: slurp(f"/proc/{pid}/fd/{fd}"))
        except OSError as error:
            note(f"{pid} fds", lambda: str(error).encode())

def look_at_queue():
    for folder in ("pid", "new", "mess", "bounce", "bad", "socket", "lock"):
        try:
            names = os.listdir(f"{home}/queue/{folder}")
        except OSError:
            continue
        for name in names:
            note(f"queue/{folder}/{name}", lambda: slurp(f"{home}/queue/{folder}/{name}"))

def look_at_house():
    for folder, _, names in os.walk(home):
        if folder.startswith((home + "/bin", os.path.dirname(out))):
            continue
        for name in names:
            path = os.path.join(folder, name)
            note(f"file {path[len(home) + 1:]}", lambda: slurp(path))

seen = set()
while not os.path.exists(enough):
    look_at_others()
    look_at_queue()
look_at_house()
with open(out + ".new", "w") as file:
    json.dump({k: [t.decode("latin-1") for t in v] for k, v in found.items()}, file)
os.rename(out + ".new", out)
"""


@pytest.fixture(scope="module")
def sleuth(bin):
    """What such a program found while mail for others went by."""
    house = Strict(bin)
    try:
        house.add_domain()
        house.control("smtproutes", ":127.0.0.1:1\n")  # nobody there: it stays queued
        place = house.home / "open"
        place.mkdir()
        place.chmod(0o777)
        (place / "sleuth.py").write_text(SLEUTH)
        rule = house.home / "alias/.qmail-sleuth"
        rule.write_text(f"|/usr/bin/python3 {place}/sleuth.py {house.home} "
                        f"{place}/found {place}/enough\n")
        house.start()
        house.run("qmail-inject", "-h", f"-f{SENDER}", input=BARE)
        wait_for(lambda: house.pids("qmail-local"), 30, house.story)
        for n in range(20):  # each looked up by a process of its own
            house.send(b"Subject: other\r\n\r\nothers-secret\r\n",
                       to=[f"hidden-bcc-{n}@{HERE}", f"hidden-bcc-{n}@away.test",
                           f"luis@{DOMAIN}"])
        house.wait_messages(20)
        with house.smtp() as client:
            client.sendmail(SENDER, [f"luis@{DOMAIN}", f"hidden-bcc@{HERE}"],
                            b"Subject: x\r\n\r\nthe-message\r\n")
        house.wait_messages(21)
        house.pop3("luis").quit()
        (place / "enough").touch()
        wait_for((place / "found").exists, 30, house.story)
        house.found = json.loads((place / "found").read_text())
        yield house
    finally:
        (house.home / "open/enough").touch()
        house.stop()
        house.remove()


SENDER = f"ana@{DOMAIN}"
BARE = (f"From: {SENDER}\nTo: sleuth@{HERE}\n"
        f"Bcc: hidden-bcc@{HERE}, hidden-bcc@away.test\n"
        "Subject: bare\n\nthe-message\n").encode()


def test_a_users_program_gets_three_descriptors(sleuth):
    fds = {name: text for name, text in sleuth.found.items() if name.startswith("own fd")}
    # The fourth is the one that listing them takes.
    assert len(fds) == 4
    assert fds["own fd 0"] == ["/memfd:message (deleted)"]


def test_a_users_program_finds_its_bare_message(sleuth):
    text, = sleuth.found["own stdin"]
    assert text.startswith("Received: ") and text.endswith("\nthe-message\n")
    assert "Return-Path" not in text and "Bcc" not in text


def test_bcc_recipients_are_nowhere_a_recipient_can_look(sleuth):
    """Nor are other people's mail and passwords."""
    for secret in ("hidden-bcc", "others-secret", PASSWORD):
        where = [name for name, texts in sleuth.found.items()
                 if any(secret in text for text in texts)]
        assert not where, secret
    read = [name for name, texts in sleuth.found.items()
            if name.startswith("file ") and not texts[0].startswith("! ")]
    assert "file control/me" in read, "it looked nowhere"
    for message in sleuth.messages():
        assert b"hidden-bcc" not in message


def test_a_users_program_sees_that_others_run_and_no_more(sleuth):
    names = "\n".join(sleuth.found["comms"])
    assert "qmail-send" in names and "qmail-lspawn" in names
    ours = sleuth.pids()
    opened = [name for name, texts in sleuth.found.items()
              if re.match(r"\d+ (environ|mem|fds?\b)", name)
              and int(name.split()[0]) in ours
              and not all("denied" in text or "permitted" in text for text in texts)]
    assert not opened
    queue = {name: texts for name, texts in sleuth.found.items() if name.startswith("queue/")}
    assert not [name for name, texts in queue.items()
                if not all(text.startswith("! ") for text in texts)
                and name not in ("queue/lock/tcpto",)]


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_no_job_is_ever_an_argument(busy, tmp_path):
    """Every exec of a message's way, and of a log-in."""
    house = busy.house
    trace = tmp_path / "trace"
    above = house.pids("qmail-send") + house.pids("qmail-lspawn") + \
        house.pids("qmail-rspawn") + house.pids("tcpserver") + house.pids("qmail-queued")
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-s", "9999", "-o", trace, "-e", "trace=execve",
         *(word for pid in above for word in ("-p", str(pid)))], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: all(processes.status(pid)["TracerPid"] != "0" for pid in above),
                 10, "strace")
        house.send(b"Subject: x\r\n\r\nx\r\n", sender="argv-sender@x.test",
                   to=[f"argv-alias@{HERE}", f"ana-argv@{DOMAIN}", "argv@slow.test",
                       f"ana@{DOMAIN}"])
        house.wait_messages(1, user="ana")
        wait_for(lambda: len(busy.slow.taken) == 3, 30, house.story)
        wait_for(lambda: '/qmail-getpw"' in trace.read_text(), 30, house.story)
        client = house.pop3("ana")
        client.quit()
        wait_for(lambda: '/qmail-pop3d"' in trace.read_text(), 30)
    finally:
        tracer.terminate()
        tracer.wait()
    lines = [line for line in trace.read_text().splitlines() if "execve(" in line]
    assert len(lines) >= 5
    for line in lines:
        assert "argv" not in line and PASSWORD not in line and "ana@" not in line
