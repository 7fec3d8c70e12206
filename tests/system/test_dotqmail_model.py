"""qmail-local against a model of dot-qmail(5) and qmail-command(8).

The model below is written from the manuals, not from the C. Each case is a
generated home: .qmail files, modes, sender, extension, message. qmail-local
delivers into it twice, called as in qmail and by a job, and must leave the
files, say the words and end as the model says. The same seeds always give
the same cases; --soak runs many more.
"""

import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

import jobs

ROOT = os.geteuid() == 0
UID = 45671 if ROOT else os.getuid()
GID = 45671 if ROOT else os.getgid()
CASES = 100
SOAK_CASES = 10000

FAKE_QUEUE = """#!/bin/sh
cat >"$FAKE_DIR/message"
cat <&1 >"$FAKE_DIR/envelope"
exit $FAKE_EXIT
"""

# qmail-queue's exit codes: whether it is for good, and qmail's words.
QUEUE_EXITS = {
    0: None,
    11: (100, "envelope address too long for qq (#5.1.3)"),
    31: (100, "mail server permanently rejected message (#5.3.0)"),
    51: (111, "qq out of memory (#4.3.0)"),
    53: (111, "qq write error or disk full (#4.3.0)"),
    71: (111, "mail server temporarily rejected message (#4.3.0)"),
    81: (111, "qq internal bug (#4.3.0)"),
}


# ---- the model ----

class Ended(Exception):
    """A delivery that ends before its last line."""

    def __init__(self, code, text=None):
        self.code, self.text = code, text


def quote(sender):
    """An address as a header shows it; control bytes become question marks."""
    shown = re.sub(rb"[\0-\x1f\x7f]", b"?", sender)
    if b"@" not in sender:
        return sender
    local, domain = sender.rsplit(b"@", 1)
    if re.fullmatch(rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+"
                    rb"(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+)*", local):
        return shown
    local = shown.rsplit(b"@", 1)[0]
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", local) + b'"@' + domain


class Model:
    """What the manuals say about one delivery. self.files: path -> bytes."""

    def __init__(self, case):
        self.case = case
        self.said = b""
        self.files = {}   # mbox files and what programs write
        self.mail = {}    # maildir -> list of messages
        self.forwarded = None
        self.default = None

    def lookup(self):
        """The .qmail file: (name, content, forward only), or None."""
        c = self.case
        safe = c.ext.lower().replace(".", ":")
        names = [(".qmail" + c.dash + safe, None)]
        if safe.endswith("default"):
            names[0] = (names[0][0], len(safe) - 7)
        for i in range(len(safe), -1, -1):
            if i == 0 or safe[i - 1] == "-":
                names.append((".qmail" + c.dash + safe[:i] + "default", i))
        for name, at in names:
            self.name = name
            found = self.open(name)
            if found is None:
                continue
            if at is not None:
                self.default = c.ext[at:]
            return found
        return None

    def open(self, name):
        if any(len(part) > 255 for part in name.split("/")):
            return None
        entry = self.case.dot.get(name)
        if entry is None:
            return None
        mode, content = entry
        if mode is None:  # a directory
            return None
        if not mode & 0o400:
            raise Ended(111, f"Unable to open {name}: Permission denied. (#4.3.0)")
        if mode & 0o022:
            raise Ended(111, "Uh-oh: .qmail file is writable. (#4.7.0)")
        return content, bool(mode & 0o100)

    def run(self):
        c = self.case
        try:
            self.deliver()
        except Ended as end:
            if end.text:
                self.said += end.text.encode() + b"\n"
            return end.code
        self.said += b"did %d+%d+%d\n" % tuple(self.counts)
        if self.forwarded is not None and not c.dry:
            self.said += b"qp N\n"
        return 0

    def deliver(self):
        c = self.case
        self.counts = [0, 0, 0]
        recipient = f"{c.local}@{c.host}".encode()
        self.dtline = b"Delivered-To: " + recipient.replace(b"\n", b"_") + b"\n"
        self.rpline = b"Return-Path: <" + quote(c.sender) + b">\n"
        if c.home_mode & 0o022:
            raise Ended(111, "Uh-oh: home directory is writable. (#4.7.0)")
        if c.home_mode & 0o1000:
            if not c.dry:
                raise Ended(111, "Home directory is sticky: user is editing his "
                                 ".qmail file. (#4.2.1)")
            self.said += b"Warning: home directory is sticky.\n"
        if not c.dry:
            header = c.message.split(b"\n\n")[0] if not c.message.startswith(b"\n") else b""
            lines = (header + b"\n").splitlines(keepends=True) if header else []
            if header == c.message:  # no body, perhaps no last LF
                lines = c.message.splitlines(keepends=True)
            if self.dtline in lines:
                raise Ended(100, "This message is looping: it already has my "
                                 "Delivered-To line. (#5.4.6)")
        found = self.lookup()
        if found is None and c.dash:
            raise Ended(100, "Sorry, no mailbox here by that name. (#5.1.1)")
        self.new_sender = c.sender
        if c.sender not in (b"", b"#@[]") and self.exists(self.name + "-owner"):
            if self.exists(self.name + "-owner-default"):
                self.new_sender = f"{c.local}-owner-@{c.host}-@[]".encode()
            else:
                self.new_sender = f"{c.local}-owner@{c.host}".encode()
        content, self.forward_only = found or (b"", False)
        if not content:
            content, self.forward_only = c.aliasempty.encode(), False
        self.obey(content)

    def exists(self, name):
        return name in self.case.dot and all(len(p) <= 255 for p in name.split("/"))

    def obey(self, content):
        lines = content.split(b"\n")
        if lines[-1] == b"" and len(lines) > 1:
            lines.pop()
        addresses = []
        for number, line in enumerate(lines):
            line = line.rstrip(b" \t")
            if not line:
                if number == 0:
                    raise Ended(111, "Uh-oh: first line of .qmail file is blank. (#4.2.1)")
                continue
            kind, rest = line[:1], line[1:]
            if kind == b"#":
                continue
            if kind == b"+":
                if rest == b"list":
                    self.forward_only = True
                continue
            if kind in (b".", b"/"):
                self.file(line.decode())
            elif kind == b"|":
                if self.program(rest.decode()) == 99:
                    break
            else:
                self.counts[1] += 1
                address = rest if kind == b"&" else line
                if self.case.dry:
                    self.said += b"forward " + address + b"\n"
                else:
                    addresses.append(address)
        if addresses:
            self.forward(addresses)

    def file(self, path):
        self.counts[0] += 1
        if self.forward_only:
            raise Ended(111, "Uh-oh: .qmail has file delivery but has x bit set. (#4.7.0)")
        is_maildir = path.endswith("/")
        if self.case.dry:
            self.said += f"{'maildir' if is_maildir else 'mbox'} {path}\n".encode()
            return
        if is_maildir:
            if path not in ("./Maildir/", "./Other/"):
                raise Ended(111, "Unable to chdir to maildir. (#4.2.1)")
            self.mail.setdefault(path, []).append(self.rpline + self.dtline + self.case.message)
            return
        if path == ".":
            raise Ended(111, "Unable to open .: Is a directory. (#4.2.1)")
        if path.startswith("./missing/"):
            raise Ended(111, f"Unable to open {path}: No such file or directory. (#4.2.1)")
        body = self.case.message
        text = b""
        for line in body.split(b"\n")[:-1] if body.endswith(b"\n") else (body.split(b"\n") if body else []):
            text += (b">" if re.match(rb">*From ", line) else b"") + line + b"\n"
        who = re.sub(rb"[ \t\n]", b"-", self.case.sender) or b"MAILER-DAEMON"
        self.files[path] = (self.files.get(path, self.case.mboxes.get(path, b"")) +
                            b"From " + who + b" DATE\n" + self.rpline + self.dtline + text + b"\n")

    def program(self, command):
        self.counts[2] += 1
        if self.forward_only:
            raise Ended(111, "Uh-oh: .qmail has prog delivery but has x bit set. (#4.7.0)")
        if self.case.dry:
            self.said += f"program {command}\n".encode()
            return 0
        code = PROGRAMS[command](self)
        if code == "crash":
            raise Ended(111, "Aack, child crashed. (#4.3.0)")
        if code in (64, 65, 70, 76, 77, 78, 100, 112):
            raise Ended(100)
        if code not in (0, 99):
            raise Ended(111)
        return code

    def append(self, name, text):
        self.files[name] = self.files.get(name, b"") + text
        return 0

    def variables(self):
        c = self.case

        def after(text, count):
            for _ in range(count):
                text = text.partition("-")[2]
            return text

        def before(text, count):
            for _ in range(count):
                if "." in text:
                    text = text.rpartition(".")[0]
            return text

        sender = c.sender.decode("latin-1")
        values = [sender, self.new_sender.decode("latin-1"), f"{c.local}@{c.host}", "box",
                  c.local, c.ext, after(c.ext, 1), after(c.ext, 2), after(c.ext, 3),
                  c.host, before(c.host, 1), before(c.host, 2), before(c.host, 3),
                  "unset" if self.default is None else self.default,
                  self.dtline.decode("latin-1")[:-1], self.rpline.decode("latin-1")[:-1]]
        values = ["_" + v[1:] if v.startswith("()") else v for v in values]
        return "\n".join(values).encode("latin-1") + b"\n"

    def forward(self, addresses):
        code = self.case.queue_exit
        self.forwarded = (self.dtline + self.case.message,
                          b"F" + self.new_sender + b"\0" +
                          b"".join(b"T" + a + b"\0" for a in addresses) + b"\0")
        if QUEUE_EXITS[code]:
            self.forwarded, (end, words) = None, QUEUE_EXITS[code]
            raise Ended(end, f"Unable to forward message: {words}.")


def say(model, text, code):
    model.said += text
    return code


VARIABLES = ('printf "%s\\n" "$SENDER" "$NEWSENDER" "$RECIPIENT" "$USER" "$LOCAL" "$EXT" "$EXT2" '
             '"$EXT3" "$EXT4" "$HOST" "$HOST2" "$HOST3" "$HOST4" "${DEFAULT-unset}" '
             '"${DTLINE%?}" "${RPLINE%?}" >>vars')
VARIABLES = VARIABLES.replace('"${DTLINE%?}" "${RPLINE%?}"', '"$(echo "$DTLINE")" "$(echo "$RPLINE")"') \
                     .replace("echo \"$", "printf %s \"$")
PROGRAMS = {
    "cat >>copy": lambda m: m.append("./copy", m.case.message),
    " cat >>copy": lambda m: m.append("./copy", m.case.message),
    "echo said": lambda m: say(m, b"said\n", 0),
    "echo wrong >&2; exit 100": lambda m: say(m, b"wrong\n", 100),
    "echo later; exit 111": lambda m: say(m, b"later\n", 111),
    "cat >>copy; exit 99": lambda m: (m.append("./copy", m.case.message), 99)[1],
    "kill -9 $$": lambda m: "crash",
    "head -c 3 >>copy": lambda m: m.append("./copy", m.case.message[:3]),
    "pwd -P >>where": lambda m: m.append("./where", os.fsencode(os.path.realpath(m.case.home)) + b"\n"),
    "umask >>mask": lambda m: m.append("./mask", b"0077\n"),
    VARIABLES: lambda m: m.append("./vars", m.variables()),
}
for _code in (0, 1, 64, 65, 66, 70, 71, 74, 75, 76, 77, 78, 99, 100, 112, 127, 255):
    PROGRAMS[f"exit {_code}"] = lambda m, code=_code: code
# The common ones come often enough that deliveries get through.
USUAL = ["cat >>copy", "echo said", VARIABLES, "head -c 3 >>copy", "umask >>mask", "pwd -P >>where"]


# ---- cases ----

class Case:
    def __init__(self, seed):
        rnd = random.Random(seed)
        self.seed = seed
        self.dry = rnd.random() < 0.15
        self.host = rnd.choice(["h.example.test", "h", "a.b.c.d.e", "x.y"])
        self.dash = rnd.choice(["-", "-", "-", ""])
        self.ext = "" if not self.dash else rnd.choice([
            "", "list", "A.b", "a-b", "a-b-c", "default", "x-default", "a--b", "-", "-a", "a-",
            "../x", "a/b", "Joe.Blow-X", "x" * 300, "a-" + "y" * 260, "a-default-b", "() { :;}; x"])
        self.local = "box" + self.dash + self.ext
        self.sender = rnd.choice([b"s@x.test", b"s@x.test", b"", b"#@[]", b"a b@x", b'q"q@x',
                                  b"tab\there@x", b"no-domain", b"() { :;}; y@x", b"\xc3\xb1@x",
                                  b"new\nline@x"])
        self.aliasempty = rnd.choice(["./Maildir/", "./Maildir/", "", "|cat >>copy", "./mbox\n&f@x\n",
                                      "#only a comment", "./Maildir/\n./Other/"])
        self.home_mode = rnd.choice([0o700] * 12 + [0o755, 0o711, 0o702, 0o720, 0o1700])
        self.queue_exit = rnd.choice([0] * 8 + list(QUEUE_EXITS))
        self.message = self.make_message(rnd)
        self.mboxes = {"./mbox": rnd.choice([b"", b"From old\n\n"])}
        self.dot = self.make_files(rnd)
        self.home = None

    def make_message(self, rnd):
        mine = f"Delivered-To: {self.local}@{self.host}\n".encode()
        header = rnd.choice([b"Subject: x\n", b"Subject: x\nX: y\n z\n", b"", mine[:-1].upper() + b"\n",
                             b"Subject: long " + b"z" * 5000 + b"\n", b"Delivered-To: other@x\n",
                             b"Subject: " + mine])
        if rnd.random() < 0.07:
            header += mine.replace(b"\n", b"") .replace(b"\0", b"") + b"\n"
        body = rnd.choice([b"", b"text\n", b"no end", b"From me\n>From you\n>>From \nFrom\n From x\n",
                           b"From ", b">", b">>From no end", mine, b"\r\n.\r\n", b"\0\xff\n",
                           b"From \n" * 50, b"big " * 20000 + b"\n"])
        message = header + rnd.choice([b"\n", b"\n", b"\n", b""]) + body
        return rnd.choice([message] * 9 + [b""])

    def candidates(self):
        safe = self.ext.lower().replace(".", ":")
        names = [".qmail" + self.dash + safe]
        for i in range(len(safe), -1, -1):
            if i == 0 or safe[i - 1] == "-":
                names.append(".qmail" + self.dash + safe[:i] + "default")
        return [n for n in dict.fromkeys(names) if all(len(p) <= 255 for p in n.split("/"))]

    def make_files(self, rnd):
        files = {}
        for name in self.candidates():
            if rnd.random() < 0.5:
                continue
            mode = rnd.choice([0o600] * 16 + [0o644, 0o700, 0o620, 0o602, 0o000, None])
            files[name] = (mode, self.make_lines(rnd))
            for suffix in ("-owner", "-owner-default"):
                if rnd.random() < 0.35 and len(name + suffix) < 250:
                    files[name + suffix] = (0o600, b"owner@x\n")
        if rnd.random() < 0.3:
            files[".qmail" + self.dash + self.ext.upper()] = files.get(
                ".qmail" + self.dash + self.ext.upper(), (0o600, b"|exit 100\n"))
            files = {n: f for n, f in files.items() if all(len(p) <= 255 for p in n.split("/"))}
        return files

    def make_lines(self, rnd):
        if rnd.random() < 0.08:
            return b""
        lines = []
        for _ in range(rnd.randrange(1, 6)):
            kind = rnd.random()
            if kind < 0.12:
                line = rnd.choice(["# comment", "#", "+list", "+other", "+"])
            elif kind < 0.2:
                line = rnd.choice(["", " ", "\t"])
            elif kind < 0.42:
                line = rnd.choice(["./Maildir/", "./Maildir/", "./Other/", "./none/", "./mbox/"])
            elif kind < 0.57:
                line = rnd.choice(["./mbox", "./mbox", "./new mbox", "./missing/x", "."])
            elif kind < 0.8:
                programs = USUAL if rnd.random() < 0.7 else list(PROGRAMS)
                line = "|" + rnd.choice(programs)
            else:
                line = rnd.choice(["&f@x.test", "f@x.test", "& spaced@x", "&plain", "me", "&", "f@y.test"])
            lines.append(line + rnd.choice(["", "", "", " ", "\t "]))
        return ("\n".join(lines) + rnd.choice(["\n", "\n", ""])).encode()

    def make_home(self, home):
        self.home = home
        home.mkdir()
        for maildir in ("Maildir", "Other"):
            for sub in ("", "tmp", "new", "cur"):
                (home / maildir / sub).mkdir()
        for path, content in self.mboxes.items():
            (home / path).write_bytes(content)
        for name, (mode, content) in self.dot.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if mode is None:
                path.mkdir()
            else:
                path.write_bytes(content)
                path.chmod(mode)
        if ROOT:
            for path in [home, *home.rglob("*")]:
                os.chown(path, UID, GID)
        home.chmod(self.home_mode)


def become():
    if ROOT:
        os.setgroups([GID])
        os.setgid(GID)
        os.setuid(UID)


class Runner:
    def __init__(self, bin):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="valija-local-", dir="/var/tmp"))
        self.top.chmod(0o755)
        (self.top / "bin").mkdir()
        shutil.copy(bin / "qmail-local", self.top / "bin")
        (self.top / "fake").write_text(FAKE_QUEUE)
        (self.top / "fake").chmod(0o755)
        self.count = 0

    def prepare(self, case):
        self.count += 1
        home = self.top / f"home{self.count}"
        case.make_home(home)
        fake = self.top / f"fake{self.count}"
        fake.mkdir()
        fake.chmod(0o777)
        env = {"PATH": os.environ["PATH"], "QMAILQUEUE": str(self.top / "fake"),
               "FAKE_DIR": str(fake), "FAKE_EXIT": str(case.queue_exit), "DEFAULT": "from outside"}
        return home, fake, env

    def by_hand(self, case):
        home, fake, env = self.prepare(case)
        args = [os.fsencode(a) for a in ("box", home, case.local, case.dash, case.ext, case.host)]
        args += [case.sender, case.aliasempty.encode()]
        done = subprocess.run([os.fsencode(self.top / "bin/qmail-local"), b"-n" if case.dry else b"-N",
                               b"--", *args],
                              input=case.message, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=env, preexec_fn=become, timeout=60)
        return done.returncode, done.stdout, home, fake

    def by_job(self, case):
        home, fake, env = self.prepare(case)
        peer = jobs.Peer([self.top / "bin/qmail-local", "--jobs"], env=env, preexec_fn=become)
        extra = b"".join(jobs.record(kind, os.fsencode(value)) for kind, value in (
            (jobs.USER, "box"), (jobs.HOME, home), (jobs.LOCAL, case.local), (jobs.DASH, case.dash),
            (jobs.EXT, case.ext), (jobs.DOMAIN, case.host), (jobs.DEFAULT, case.aliasempty)))
        peer.send(*jobs.job(1, case.message, case.sender, [(3, b"ignored@x")], extra=extra))
        number, outcomes = peer.result()
        peer.sock.close()
        assert peer.process.wait(30) == 0
        peer.process.stderr.close()
        letter, text = outcomes[3]
        return {"K": 0, "D": 100, "Z": 111}[letter], text.encode("latin-1"), home, fake


def snapshot(case, home):
    """What was delivered: mail per maildir, and other files."""
    home.chmod(0o700)
    mail = {}
    for maildir in ("Maildir", "Other"):
        found = [p.read_bytes() for p in (home / maildir / "new").iterdir()]
        if found:
            mail[f"./{maildir}/"] = sorted(found)
        assert list((home / maildir / "tmp").iterdir()) == []
    files = {}
    for path in home.iterdir():
        if path.is_file() and not path.name.startswith(".qmail"):
            name = "./" + path.name
            text = path.read_bytes()
            if text != case.mboxes.get(name):
                files[name] = re.sub(rb"(?m)^(From \S+) \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$",
                                     rb"\1 DATE", text)
    return mail, files


def log_lines(text):
    """Without what qmail-local logs for the administrator."""
    lines = re.sub(rb"(?m)^qmail-local: .*\n", b"", text)
    return re.sub(rb"(?m)^qp \d+$", b"qp N", lines)


def check(runner, case, deliver):
    code, text, home, fake = deliver(case)
    model = Model(case)
    want = model.run()
    where = f"seed {case.seed}, files {case.dot}, ext {case.ext[:40]!r}, sender {case.sender!r}"
    assert (code, log_lines(text)) == (want, model.said), where
    mail, files = snapshot(case, home)
    assert mail == {k: sorted(v) for k, v in model.mail.items()}, where
    assert files == model.files, where
    if model.forwarded:
        assert (fake / "message").read_bytes() == model.forwarded[0], where
        assert (fake / "envelope").read_bytes() == model.forwarded[1], where
    elif case.queue_exit == 0:
        assert not (fake / "message").exists(), where
    shutil.rmtree(home)
    return want


@pytest.fixture(scope="module")
def runner(bin):
    it = Runner(bin)
    yield it
    subprocess.run(["chmod", "-R", "u+rwx", it.top])
    shutil.rmtree(it.top)


def run_cases(runner, seeds):
    codes = {}
    for seed in seeds:
        want = check(runner, Case(seed), runner.by_hand)
        codes[want] = codes.get(want, 0) + 1
        case = Case(seed)
        if not case.dry:
            check(runner, case, runner.by_job)
    # The cases must not all end at the first check.
    assert min(codes[0], codes[100], codes[111]) > len(seeds) // 20, codes


def test_generated_homes(runner):
    run_cases(runner, range(CASES))


@pytest.mark.soak
def test_many_generated_homes(runner):
    run_cases(runner, range(CASES, CASES + SOAK_CASES))
