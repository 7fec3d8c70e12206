"""./setup run, status, stop and clean, as a newcomer calls them.

The checkout is a scratch copy of `setup` and conf-files/ whose build is the
programs under test, with a make that has nothing to do; `.ci/run` and
tests/soak/cleanmachine use the real one. As root the copy lies where no other
user may walk, so that the instance is elsewhere and ./instance a link.
"""

import email
import os
import pathlib
import poplib
import re
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import ROOT
from house import free_port
from waiting import wait_for

SERVICES = ["qmail-queued", "qmail-send", "qmail-smtpd", "qmail-pop3d"]


class Checkout:
    def __init__(self, top, bin):
        self.top = top
        top.mkdir()
        shutil.copy(ROOT / "setup", top)
        shutil.copytree(ROOT / "conf-files", top / "conf-files")
        (top / "build").mkdir()
        (top / "build/bin").symlink_to(bin)
        stubs = top / "stubs"
        stubs.mkdir()
        self.stubs = stubs
        self.stub("make", 'test -z "$TEST$DESTDIR"')
        self.stub("strip", 'exec cp "$3" "$2"')
        self.smtp, self.pop3 = free_port(), free_port()
        self.env = {
            "PATH": f"{stubs}:{os.environ['PATH']}",
            "HOME": str(top),
            "SMTP_PORT": str(self.smtp),
            "POP3_PORT": str(self.pop3),
            # Somebody's who builds, or uses, more than this.
            "QMAILHOME": "/nowhere",
            "TEST": "1",
            "DESTDIR": "/nowhere",
        }

    def stub(self, name, text):
        (self.stubs / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.stubs / name).chmod(0o755)

    def call(self, *arguments, **more):
        return subprocess.run(
            [self.top / "setup", *arguments], capture_output=True, text=True,
            timeout=120, env={**self.env, **more}, cwd="/",
        )

    def run(self, **more):
        done = self.call("run", **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def instance(self):
        return (self.top / "instance").resolve()

    def port(self, name):
        return int((self.instance / "service" / name / "env/PORT").read_text())

    def mailboxes(self):
        lines = (self.instance / "mailboxes").read_text().splitlines()
        return dict(line.split() for line in lines)


@pytest.fixture
def checkout(bin, tmp_path):
    made = Checkout(tmp_path / "checkout", bin)
    yield made
    done = made.call("clean")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def lasting(bin, tmp_path_factory):
    """One instance for the tests of what may happen to one."""
    made = Checkout(tmp_path_factory.mktemp("lasting") / "checkout", bin)
    made.run()
    yield made
    done = made.call("clean")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def instance(lasting):
    if lasting.call("stop").stdout == "":
        pytest.fail("what the last test left cannot be stopped")
    return lasting


def processes_of(place):
    """The pids of all processes whose program lies there."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "exe").startswith(str(place)):
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


def test_from_nothing_to_nothing(checkout):
    told = checkout.run()
    assert "250 2.0.0 ok" in told and "| It works." in told
    assert f"127.0.0.1:{checkout.smtp}" in told
    for name, password in checkout.mailboxes().items():
        assert f"{name} {password}" in told
    assert len(re.findall(r"^ +\d+ ms  ", told, re.M)) == 8
    place = checkout.instance
    assert processes_of(place)
    if os.geteuid() == 0:
        assert place.parent == pathlib.Path("/var/tmp")
    else:
        assert place.parent == checkout.top

    again = checkout.run()
    assert again.startswith("the instance is already running")
    assert " ms " not in again

    status = checkout.call("status")
    assert status.returncode == 0
    for name in SERVICES:
        for service in name, f"{name}/log":
            assert re.search(
                rf"service/{service}: up \(pid \d+\) \d+ seconds\n", status.stdout)
    assert "messages in queue: 0\n" in status.stdout

    assert checkout.call("stop").stdout == "stopped\n"
    assert not processes_of(place)
    assert checkout.call("stop").stdout == "it was not running\n"
    assert "as it was" in checkout.run()
    assert checkout.call("clean").stdout == "clean\n"
    assert not processes_of(place) and not place.exists()
    assert not os.path.lexists(checkout.top / "instance")
    status = checkout.call("status")
    assert status.returncode == 111 and "there is no instance" in status.stderr


def test_mail_that_is_there_already_stays(instance):
    checkout = instance
    checkout.run()
    inject = checkout.instance / "bin/qmail-inject"
    for number in range(3):
        subprocess.run([inject], input=f"To: luis@example.test\nSubject: {number}\n",
                       text=True, check=True)
    new = checkout.instance / "vpopmail/domains/example.test/luis/Maildir/new"
    wait_for(lambda: len(list(new.iterdir())) == 3)
    checkout.call("stop")
    checkout.run()
    pop = poplib.POP3("127.0.0.1", checkout.port("qmail-pop3d"))
    pop.user("luis@example.test")
    pop.pass_(checkout.mailboxes()["luis@example.test"])
    subjects = [
        email.message_from_bytes(b"\n".join(pop.retr(n + 1)[1]))["Subject"]
        for n in range(pop.stat()[0])
    ]
    pop.quit()
    assert sorted(subjects) == ["0", "1", "2"]


def test_a_port_that_is_taken_meanwhile(instance):
    checkout = instance
    taken = checkout.port("qmail-smtpd")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        told = checkout.run()
    assert f"port {taken} is taken" in told
    assert checkout.port("qmail-smtpd") != taken


def test_an_interrupted_run_is_completed(instance):
    checkout = instance
    # As far as that: one mailbox of two was there.
    (checkout.instance / "mailboxes").unlink()
    subprocess.run([checkout.instance / "bin/vdeluser", "luis@example.test"], check=True)
    (checkout.instance / "bin/.new.1").mkdir()
    checkout.run()
    assert len(checkout.mailboxes()) == 2
    assert not (checkout.instance / "bin/.new.1").exists()


def test_two_at_once_below_a_path_that_the_shell_would_split(bin, tmp_path):
    made = Checkout(tmp_path / "my check'out", bin)
    calls = [
        subprocess.Popen([made.top / "setup", "run"], env=made.env, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    ended = [(*call.communicate(timeout=120), call.returncode) for call in calls]
    place = made.instance
    status, clean = made.call("status"), made.call("clean")
    assert clean.returncode == 0
    assert 0 in [code for _, _, code in ended], ended
    for said, complaint, code in ended:
        assert code == 0 or "another ./setup is at work" in complaint, ended
    assert place.parent == pathlib.Path("/var/tmp")
    assert status.stdout.count(": up (pid") == 2 * len(SERVICES)


@pytest.mark.parametrize("command", ["stop", "run"])
def test_services_whose_svscan_was_killed(instance, command):
    checkout = instance
    checkout.run()
    place = checkout.instance
    pid = int((place / "svscan.pid").read_text())
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in processes_of(place))
    before = set(processes_of(place))
    assert before
    done = checkout.call(command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not before & set(processes_of(place))


def test_a_decimal_comma_is_no_trouble(instance, tmp_path):
    """EPOCHREALTIME is 1795597758,029960 for most of Europe."""
    made = subprocess.run(["localedef", "-i", "es_ES", "-f", "UTF-8",
                           tmp_path / "es_ES.UTF-8"], capture_output=True)
    if not (tmp_path / "es_ES.UTF-8").exists():
        # No locales here: let bash see what it would.
        script = instance.top / "conf-files/setup/say.sh"
        script.write_text(script.read_text().replace("EPOCHREALTIME", "COMMA"))
        told = instance.run(COMMA="1795597758,029960")
    else:
        told = instance.run(LOCPATH=str(tmp_path), LC_ALL="es_ES.UTF-8")
    assert "| It works." in told, made.stderr


@pytest.mark.root
def test_only_its_owner_works_on_an_instance(instance):
    """Root would run another user's house, all of it, as root."""
    checkout = instance
    os.chown(checkout.instance, 65534, 65534)
    for command in "run", "status", "stop", "clean":
        done = checkout.call(command)
        assert done.returncode == 111 and "belongs to nobody" in done.stderr
        assert done.stdout == ""
    assert not processes_of(checkout.instance)
    os.chown(checkout.instance, 0, 0)


def test_what_is_no_command(checkout):
    for words in [], ["bogus"], ["run", "--bogus"], ["status", "x"], ["clean", "-n"]:
        done = checkout.call(*words)
        assert done.returncode == 100 and "usage:" in done.stderr
    done = checkout.call("help")
    assert done.returncode == 0 and "usage:" in done.stdout


@pytest.mark.parametrize("command", ["run", "check"])
def test_another_distribution_is_told_what_is_wanted(checkout, command):
    tools = checkout.top / "tools"
    tools.mkdir()
    for name in "bash", "env", "dirname", "id", "mktemp", "rm", "stat":
        (tools / name).symlink_to(shutil.which(name))
    done = checkout.call(command, PATH=str(tools))
    assert done.returncode == 111
    assert "libcdb-dev" in done.stderr and "C compiler" in done.stderr


def test_an_ordinary_user_is_asked_by_sudo(checkout):
    checkout.stub("id", "echo 1000")
    checkout.stub("dpkg-query", "exit 1")
    checkout.stub("sudo", 'echo sudo "$@" >&2; exit 1')
    done = checkout.call("run")
    (checkout.stubs / "id").unlink()
    assert done.returncode == 111
    assert "installing: gcc make" in done.stdout
    assert "sudo env DEBIAN_FRONTEND=noninteractive apt-get" in done.stderr
    assert "could not install: gcc make" in done.stderr


# ---- ./setup install, below a folder instead of /, with users of its own ----

PASSWD = """root:x:0:0::/root:/bin/sh
alias:x:7790:2108::/var/qmail/alias:/bin/true
qmaild:x:7791:2108::/var/qmail:/bin/true
qmaill:x:7792:2108::/var/qmail:/bin/true
qmailp:x:7793:2108::/var/qmail:/bin/true
qmailq:x:7794:2109::/var/qmail:/bin/true
qmailr:x:7795:2107::/var/qmail:/bin/true
qmails:x:7796:2109::/var/qmail:/bin/true
qmailt:x:7797:2108::/var/qmail:/bin/true
qmaila:x:7798:2108::/var/qmail:/bin/true
vpopmail:x:89:89::/home/vpopmail:/bin/true
joe:x:1000:1001::{home}/joe:/bin/sh
"""
GROUP = "qmail:x:2107:\nnofiles:x:2108:\nqmailq:x:2109:\nvchkpw:x:89:\n"


class Machine(Checkout):
    def __init__(self, top, bin):
        super().__init__(top, bin)
        self.root = top / "root"
        self.house = self.root / "var/qmail"
        (self.root / "home").mkdir(parents=True)
        (top / "passwd").write_text(PASSWD.format(home=self.root / "home"))
        (top / "group").write_text(GROUP)
        self.stub("getent", f"""file={top}/$1; [ $# -gt 1 ] || exec cat $file
            awk -F: -v name="$2" '$1 == name' $file | grep .""")
        self.stub("hostname", "echo mx.example.org")
        for name in "useradd", "groupadd":
            self.stub(name, "exit 1")

    def install(self, *options):
        done = self.call("install", f"--root={self.root}", *options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def control(self):
        return {path.name: path.read_text() for path in (self.house / "control").iterdir()
                if not path.name.endswith((".cdb", ".lock"))}


@pytest.fixture
def machine(bin, tmp_path):
    return Machine(tmp_path / "checkout", bin)


@pytest.mark.root
def test_install_on_a_fresh_machine(machine):
    sendmail = machine.root / "usr/sbin/sendmail"
    sendmail.parent.mkdir(parents=True)
    sendmail.write_text("the old one")
    told = machine.install("--systemd")
    assert f"su joe -c '{machine.house}/bin/maildirmake" in told
    control = machine.control()
    assert control["me"] == "mx.example.org\n"
    assert control["locals"] == control["rcpthosts"] == "localhost\nmx.example.org\n"
    assert control["defaultdomain"] == control["plusdomain"] == "example.org\n"
    ids = control["deliveryids"].splitlines()
    assert "1000 1001" in ids and "7790 2108" in ids and "89 89" in ids
    assert "7796 2109" not in ids  # qmails, whose number is above 1000, too
    for name in "root", "postmaster", "mailer-daemon":
        assert (machine.house / f"alias/.qmail-{name}").read_text() == "&joe\n"
    assert sendmail.with_name("sendmail.before-valija").read_text() == "the old one"
    programs = machine.house / "bin"
    for link, target in {
        "usr/sbin/sendmail": programs / "sendmail",
        "usr/lib/sendmail": programs / "sendmail",
        "usr/local/bin/qmail-inject": programs / "qmail-inject",
        "command/svscanboot": programs / "svscanboot",
        "service/qmail-send": machine.house / "service/qmail-send",
        "home/vpopmail/bin": programs,
    }.items():
        assert (machine.root / link).readlink() == target
    script = programs / "tcpcat"  # which strip(1) would refuse
    assert script.read_text().startswith("#!/bin/sh\n") and os.access(script, os.X_OK)
    assert (machine.root / "etc/systemd/system/valija.service").exists()
    smtpd, pop3d = machine.house / "service/qmail-smtpd", machine.house / "service/qmail-pop3d"
    assert "    envuidgid :7791:2108 \\\n" in (smtpd / "run").read_text()
    assert "envuidgid" not in (pop3d / "run").read_text()
    assert (smtpd / "tcp").read_text().startswith('127.:allow,RELAYCLIENT=""\n')
    assert (pop3d / "tcp").read_text() == ":allow\n"
    for path, port in (smtpd, "25\n"), (pop3d, "110\n"):
        assert (path / "env/PORT").read_text() == port
        assert (path / "env/IP").read_text() == "0\n"
        assert not (path / "down").exists()
    (machine.house / "control/locals").unlink()
    before = machine.control()
    machine.install()
    assert machine.control() == before
    assert sendmail.with_name("sendmail.before-valija").read_text() == "the old one"


@pytest.mark.root
def test_install_takes_another_house_over_as_it_is(machine):
    """A missing locals means control/me, a missing rcpthosts is a choice."""
    house = machine.house
    for name in "bin", "control", "alias", "users", "queue/mess":
        (house / name).mkdir(parents=True)
    (house / "control/me").write_text("old.example.net\n")
    (house / "control/tcp.smtp.cdb").write_bytes(b"made from /etc/tcp.smtp")
    (house / "alias/.qmail-root").write_text("&somebody@example.com\n")
    (house / "users/assign").write_text(
        "=ann:ann:3001:3002:/srv/mail/ann:::\n=root:root:0:0:/root:::\n.\n")
    (house / "bin/qmail-send").write_text("old")
    done = machine.call("install", f"--root={machine.root}")
    assert done.returncode == 100 and "--take-over" in done.stdout
    assert not (house / "users/ids").exists()

    told = machine.install("--take-over")
    assert "no control/rcpthosts" in told
    control = machine.control()
    assert set(control) == {"me", "deliveryids", "sendservice"}
    assert control["me"] == "old.example.net\n"
    assert "there is no control/tcp.smtp" in told
    ids = control["deliveryids"].splitlines()
    assert "3001 3002" in ids and "/srv/mail" in ids
    assert not [line for line in ids if line.startswith("0 ") or line == "/"]
    assert (house / "control/tcp.smtp.cdb").read_bytes() == b"made from /etc/tcp.smtp"
    # Its rules go on to count, and nothing is compiled over them unseen.
    smtpd = house / "service/qmail-smtpd"
    assert (smtpd / "tcp.cdb").read_bytes() == b"made from /etc/tcp.smtp"
    add = subprocess.run([smtpd / "add-client", "192.0.2.1"], capture_output=True, text=True)
    assert add.returncode == 111 and "without its source: write that here" in add.stderr
    assert (smtpd / "tcp.cdb").read_bytes() == b"made from /etc/tcp.smtp"
    assert (house / "alias/.qmail-root").read_text() == "&somebody@example.com\n"
    assert (house / "bin.before-valija/qmail-send").read_text() == "old"
    assert (house / "queue.before-valija/mess").is_dir()
    assert (house / "queue/format").exists()
