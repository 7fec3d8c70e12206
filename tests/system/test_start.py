"""qmail-start: what it gives to whom, and what it refuses."""

import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess

import pytest

from queuefile import Queue
from waiting import wait_for

# Stands for qmail-lspawn, qmail-rspawn and qmail-queued: writes down who and
# where it is, says hello, and ends with its descriptor 0.
FAKE = r"""#!{python}
import os, socket, stat, struct, sys
name = os.path.basename(sys.argv[0])
def kind(fd):
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return "-"
    return "socket" if stat.S_ISSOCK(mode) else "other"
kinds = [kind(fd) for fd in range(9)]
with open("{out}/" + name, "w") as out:
    print(os.getuid(), os.getgid(), os.getgroups(), sys.argv[1:],
          kinds, file=out)
os.rename("{out}/" + name, "{out}/" + name + ".done")
if name != "qmail-queued":
    sock = socket.socket(fileno=0)
    def record(kind, value):
        return struct.pack("<QQ", kind, len(value)) + value
    try:
        sock.send(record(1, b"valija-job 1") +
                  record(2, struct.pack("<Q", 5)))
        sock.recv(1)
    except ConnectionError:  # gone, or gone with our hello unread
        pass
else:
    os.read(0, 1)
with open("{out}/" + name + ".ended", "w"):
    pass
"""


class House:
    def __init__(self, home, bin):
        self.home = pathlib.Path(home)
        self.out = self.home / "out"
        for folder in ("bin", "control", "users", "out"):
            (self.home / folder).mkdir()
        os.chmod(self.home, 0o755)
        os.chmod(self.out, 0o777)
        for name in ("qmail-start", "qmail-send"):
            shutil.copy2(bin / name, self.home / "bin" / name)
        for name in ("qmail-lspawn", "qmail-rspawn", "qmail-queued"):
            path = self.home / "bin" / name
            path.write_text(FAKE.format(python="/usr/bin/python3",
                                        out=self.out))
            path.chmod(0o755)
        (self.home / "control/me").write_text("here.example\n")
        self.ids(f"single {os.getuid()} {os.getgid()}\n")
        self.queue = Queue(home)
        self.queue.create()
        self.process = None

    def ids(self, text):
        (self.home / "users/ids").write_text(text)

    def start(self, *args):
        env = {"PATH": os.environ["PATH"]}
        if os.geteuid() != 0:
            env["QMAILHOME"] = str(self.home)
        self.process = subprocess.Popen(
            [self.home / "bin/qmail-start", *args], env=env,
            stdout=open(self.home / "stdout", "w"),
            stderr=open(self.home / "stderr", "w"))
        return self

    def read(self, name):
        try:
            return (self.home / name).read_text()
        except FileNotFoundError:
            return ""

    def child(self, name):
        wait_for(lambda: self.read(f"out/{name}.done"), what=name)
        return self.read(f"out/{name}.done").strip()

    def ended(self, name):
        return (self.out / (name + ".ended")).exists()

    def refusal(self):
        code = self.process.wait(20)
        return code, self.read("stderr")


@pytest.fixture
def house(tmp_path, bin):
    house = House(tmp_path, bin)
    yield house
    if house.process and house.process.poll() is None:
        house.process.kill()
        house.process.wait()


CHILDREN = ["qmail-lspawn", "qmail-rspawn", "qmail-queued"]


def test_it_becomes_qmail_send_with_its_children(house):
    house.start("./Maildir/")
    wait_for(lambda: "running\n" in house.read("stdout"),
             what=house.read("stderr"))
    assert house.read("stdout") == ("running\n"
                                    "status: local 0/5 remote 0/5\n")
    pid = house.process.pid
    with open(f"/proc/{pid}/comm") as comm:
        assert comm.read() == "qmail-send\n"
    who = f"{os.getuid()} {os.getgid()} "
    assert house.child("qmail-lspawn").startswith(who)
    assert "['./Maildir/'] ['socket', 'other', 'other', '-', '-', '-'" in house.child(
        "qmail-lspawn")
    assert "[] ['socket', 'other', 'other', '-', '-', '-'" in house.child("qmail-rspawn")
    assert "['-e'] ['socket', 'other', 'other', '-', '-', '-'" in house.child(
        "qmail-queued")
    house.process.terminate()
    assert house.process.wait(20) == 0
    for name in CHILDREN:
        wait_for(lambda: house.ended(name), what=f"the end of {name}")


def test_an_early_alarm_is_not_fatal(house):
    for name in ("qmail-lspawn", "qmail-rspawn"):
        path = house.home / "bin" / name
        path.write_text(path.read_text().replace(
            'sock.send(', 'import time; time.sleep(0.3); sock.send('))
    house.start()
    house.child("qmail-lspawn")
    house.process.send_signal(signal.SIGALRM)
    house.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "running\n" in house.read("stdout"))
    house.process.terminate()
    assert house.process.wait(20) == 0


def test_children_end_when_it_is_killed(house):
    house.start()
    for name in CHILDREN:
        house.child(name)
    assert "['./Mailbox']" in house.child("qmail-lspawn")
    house.process.kill()
    for name in CHILDREN:
        wait_for(lambda: house.ended(name), what=f"the end of {name}")


@pytest.mark.parametrize("name", CHILDREN)
def test_it_ends_with_any_of_its_children(house, name):
    house.start()
    wait_for(lambda: "running\n" in house.read("stdout"))
    house.child(name)
    children = subprocess.check_output(
        ["ps", "-o", "pid=,args=", "--ppid", str(house.process.pid)],
        text=True)
    (child,) = re.findall(rf"^\s*(\d+) .*{name}", children, re.M)
    os.kill(int(child), signal.SIGKILL)
    assert house.process.wait(20) == 111
    assert "alert: oh no! lost" in house.read("stdout")


def test_a_running_qmail_queued_is_left_alone(house):
    import fcntl
    with open(house.home / "queue/socket/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        house.start()
        wait_for(lambda: "running\n" in house.read("stdout"))
        house.process.terminate()
        assert house.process.wait(20) == 0
    assert not (house.out / "qmail-queued.done").exists()


def test_the_log_goes_to_the_logger(house):
    house.start("./Mailbox", "sh", "-c", 'exec cat >"$0"',
                str(house.out / "logged"))
    wait_for(lambda: "running\n" in house.read("out/logged"))
    house.process.terminate()
    assert house.process.wait(20) == 0
    wait_for(lambda: house.read("out/logged").endswith("status: exiting\n"))
    assert house.read("stdout") == ""


def test_a_foreign_queue_is_refused(house):
    house.ids(f"single {os.getuid() + 1} {os.getgid()}\n")
    code, text = house.start().refusal()
    assert code == 111
    assert re.fullmatch(r"qmail-start: queue belongs to uid \d+, but "
                        r"users/ids says that qmailq is \d+\n", text)


def test_no_ids_no_queue(house):
    (house.home / "users/ids").unlink()
    code, text = house.start().refusal()
    assert code == 111
    assert text == ("qmail-start: cannot read users/ids: No such file or "
                    "directory\n")


def test_a_later_queue_is_not_touched(house):
    path = house.home / "queue/format"
    path.write_text("valija-queue 2\nsync never\n")
    code, text = house.start().refusal()
    assert code == 111 and text.count("\n") == 1
    assert path.read_text() == "valija-queue 2\nsync never\n"


def test_the_sync_mode_is_settled(house):
    path = house.home / "queue/format"
    before = path.read_text()
    # Whatever this file system allows, one of both is wrong.
    path.write_text(before.replace("sync posix", "sync whatever"))
    house.start()
    wait_for(lambda: "running\n" in house.read("stdout"))
    after = path.read_text()
    assert re.search(r"^sync (posix|journal)$", after, re.M)
    assert (re.sub("sync .*", "", after) == re.sub("sync .*", "", before))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.root
def test_everybody_gets_his_uid(house):
    house.ids("root 0 0\nqmailq 60711 60721\nqmails 60712 60721\n"
              "qmailr 60713 60722\nqmaill 60714 60723\n")
    for path in [house.queue.path, *house.queue.path.rglob("*")]:
        os.chown(path, 60711, 60721)
        if path.is_dir():
            os.chmod(path, 0o770)
    os.chmod(house.queue.path, 0o755)
    os.chmod(house.queue.path / "lock", 0o775)
    os.chown(house.queue.path / "lock/trigger", 60712, 60721)
    for parent in house.home.parents:
        if parent.stat().st_mode & 0o001 == 0 and parent != parent.parent:
            os.chmod(parent, parent.stat().st_mode | 0o011)
    house.start("./Mailbox", "sh", "-c",
                'echo logger $(id -u) $(id -g) $(id -G) >"$0"; exec cat >>"$0"',
                str(house.out / "logged"))
    wait_for(lambda: "running\n" in house.read("out/logged"),
             what="the start: " + house.read("stderr"))
    assert house.read("out/logged").startswith("logger 60714 60723 60723\n")
    assert house.child("qmail-lspawn").startswith("0 0 ")
    assert house.child("qmail-rspawn").startswith("60713 60722 [60722] ")
    assert house.child("qmail-queued").startswith("60711 60721 [60721] ")
    with open(f"/proc/{house.process.pid}/status") as status:
        text = status.read()
    assert re.search(r"^Uid:\t60712\t60712\t60712\t60712$", text, re.M)
    assert re.search(r"^Groups:\t60721 ?$", text, re.M)
