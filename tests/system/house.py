"""A whole house that runs: the fixture behind every end-to-end test.

It is made by `./setup house`, the same code that makes ./instance, started
under svscan on loopback ports, and stopped by the pid it was started with.
One is made so for all tests; each test has a copy.
"""

import atexit
import functools
import os
import pathlib
import poplib
import re
import shutil
import secrets
import signal
import smtplib
import socket
import subprocess
import tempfile

from queuefile import waiting_in_log
from waiting import wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The library refuses lines over 2,048 bytes; messages may have longer ones.
poplib._MAXLINE = 1 << 20

DOMAIN = "example.test"
# One of this run alone: others, at the same time, have theirs on command lines.
PASSWORD = f"s3cret-of-{os.getpid()}-{secrets.token_hex(4)}"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def make(home, bin, smtp_port=2525, pop3_port=2110):
    home.chmod(0o755)
    subprocess.run(
        [ROOT / "setup", "house", home, "--bin", bin,
         "--smtp", str(smtp_port), "--pop3", str(pop3_port)],
        check=True, cwd=ROOT)


def fresh_folder(prefix="valija-"):
    """Not pytest's tmp_path: other uids must be able to walk there."""
    return pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))


@functools.cache
def pattern(bin):
    """A house that is only copied."""
    home = fresh_folder("valija-pattern-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    make(home, bin)
    return home


def copy(source, home):
    """What `setup house` would have made there; the programs are links."""
    subprocess.run(["cp", "-a", *(path for path in source.iterdir()
                                  if path.name != "bin"), home], check=True)
    subprocess.run(["cp", "-al", source / "bin", home], check=True)
    home.chmod(0o755)
    for folder in ("control", "service", "alias", "users"):
        for path in (home / folder).rglob("*"):
            if path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            if os.fsencode(source) in content:
                assert path.suffix != ".cdb"  # lengths and hashes are in it
                path.write_bytes(content.replace(os.fsencode(source),
                                                 os.fsencode(home)))


class House:
    def __init__(self, bin, place=None):
        self.home = pathlib.Path(place or fresh_folder())
        self.smtp_port = free_port()
        self.pop3_port = free_port()
        self.clock = self.home / "clock"
        self.env = {"VALIJA_TEST_CLOCK": str(self.clock)}  # of every service
        self.svscan = None
        if place:
            make(self.home, bin, self.smtp_port, self.pop3_port)
            return
        copy(pattern(bin), self.home)
        for service, port in (("qmail-smtpd", self.smtp_port),
                              ("qmail-pop3d", self.pop3_port)):
            (self.home / "service" / service / "env/PORT").write_text(f"{port}\n")

    def run(self, program, *args, **kw):
        kw.setdefault("check", True)
        kw.setdefault("capture_output", True)
        return subprocess.run([self.home / "bin" / program, *map(str, args)], **kw)

    def control(self, name, text):
        path = self.home / "control" / name
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)

    def add_domain(self, domain=DOMAIN, users=("ana", "luis")):
        self.run("vadddomain", domain, PASSWORD)
        for user in users:
            self.run("vadduser", f"{user}@{domain}", PASSWORD)

    # ---- running ----

    def start(self):
        env = {"PATH": f"{self.home}/bin:{os.environ['PATH']}",
               "DNSCACHEIP": os.environ["DNSCACHEIP"], **self.env}
        down = self.home / "service/qmail-send/down"
        down.touch()
        with open(self.home / "log" / "svscan", "ab") as log:
            self.svscan = subprocess.Popen(
                [self.home / "bin" / "svscan", "."], cwd=self.home / "service",
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        self.start_send_second(down)
        wait_for(lambda: listens(self.smtp_port), 30, "the SMTP port")
        wait_for(lambda: listens(self.pop3_port), 30, "the POP3 port")

    def queued_listens(self):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                # By a short name: the home's may be too long for an address.
                fd = os.open(self.home, os.O_PATH)
                sock.connect(f"/proc/self/fd/{fd}/queue/socket/enqueue")
                return True
            except OSError:
                return False
            finally:
                os.close(fd)

    def start_send_second(self, down):
        """The service's qmail-queued has the lock, and not qmail-start's.

        On a busy machine either may be first. Tests restart the service, and
        would wait for ever for one that is not.
        """
        service = self.home / "service/qmail-send"
        wait_for(lambda: self.run("svok", service, check=False).returncode == 0,
                 30, "supervise")
        wait_for(self.queued_listens, 30, "qmail-queued")
        down.unlink()
        self.svc("-u", "qmail-send")

    def stop(self):
        if self.svscan is None:
            return
        self.svscan.send_signal(signal.SIGTERM)
        try:
            self.svscan.wait(30)
        except subprocess.TimeoutExpired:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            raise AssertionError("svscan did not stop within 30 s")
        finally:
            self.svscan = None
        for path in self.home.glob("service/*/log/main/*"):
            if path.is_file() and re.search(rb"Sanitizer|runtime error:", path.read_bytes()):
                raise AssertionError(f"a sanitizer found something: {path.read_text()}")

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def pids(self, program=None):
        """Every running process of this house, or those of one program."""
        found = []
        bin = str(self.home / "bin") + "/"
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                exe = os.readlink(f"/proc/{entry}/exe")
            except OSError:
                continue
            if exe.startswith(bin) and (program is None or exe == bin + program):
                found.append(int(entry))
        return found

    def svc(self, options, *names):
        self.run("svc", options, *[self.home / "service" / n for n in names])

    def log(self, service="qmail-send"):
        folder = self.home / "service" / service / "log" / "main"
        text = b""
        for path in sorted(folder.glob("@*")) + [folder / "current"]:
            try:
                text += path.read_bytes()
            except FileNotFoundError:
                pass
        return text.decode(errors="replace")

    def story(self):
        """What one wants to see when a test failed."""
        files = "\n".join(map(str, self.queue_files()))
        logs = "\n".join(f"-- {name}\n{self.log(name)[-1500:]}" for name in
                         ("qmail-send", "qmail-queued", "qmail-smtpd"))
        return f"queue:\n{files}\n{logs}"

    def set_clock(self, offset_s):
        self.clock.write_text(str(offset_s))

    # ---- mail ----

    def smtp(self):
        return smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=60)

    def send(self, message, to=("luis@" + DOMAIN,), sender="ana@" + DOMAIN):
        with self.smtp() as client:
            client.sendmail(sender, list(to), message)

    def pop3(self, user="luis", domain=DOMAIN):
        client = poplib.POP3("127.0.0.1", self.pop3_port, timeout=60)
        client.user(f"{user}@{domain}")
        client.pass_(PASSWORD)
        return client

    def maildir(self, user="luis", domain=DOMAIN):
        return self.home / "vpopmail/domains" / domain / user / "Maildir"

    def messages(self, user="luis", domain=DOMAIN):
        """The content of every message in a mailbox."""
        found = []
        for folder in ("new", "cur"):
            for path in sorted((self.maildir(user, domain) / folder).iterdir()):
                found.append(path.read_bytes())
        return found

    def wait_messages(self, count, user="luis", timeout=30, domain=DOMAIN):
        def enough():
            found = self.messages(user, domain)
            return found if len(found) >= count else None
        return wait_for(enough, timeout, lambda: (
            f"{count} messages for {user}\n{self.story()}"))

    # ---- the queue ----

    def queue_files(self, *folders):
        """Messages by folder: files, and what of the log is not delivered.

        The log counts as mess/. A message that moves from one to the other
        meanwhile is found twice, not missed.
        """
        found = []
        if not folders or "mess" in folders:
            found += waiting_in_log(self.home)
        for folder in folders or ("pid", "new", "mess", "bounce", "bad"):
            for path in (self.home / "queue" / folder).rglob("*"):
                if path.is_file():
                    found.append(path)
        return found

    def queue_is_empty(self):
        """Nothing waits. Seen twice: a bounce comes into the log, which was
        looked at, before its message leaves mess/, which was not yet.
        """
        return not any(self.queue_files("new", "mess", "bounce")
                       for _ in range(2))

    def wait_queue_empty(self, timeout=60):
        wait_for(self.queue_is_empty, timeout,
                 lambda: f"an empty queue\n{self.story()}")
