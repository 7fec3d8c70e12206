"""Listening sockets that outlive tcpserver: kept by supervise, or inherited."""

import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

import processes
from daemontools import (DEBIAN, cpu_ticks, exists, keeper, make_service, pid_of,  # noqa: F401
                         run, write_script)
from waiting import wait_for


def free_port(address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Service:
    """tcpserver below our supervise, and whoever connects to it."""

    def __init__(self, keeper, bin, script=None, name="s", options="-b500"):
        self.bin = bin
        self.port = free_port()
        self.dir = keeper.dir / name
        self.options = options
        make_service(self.dir, script or self.script())
        self.supervise = keeper.supervise(bin / "supervise", self.dir)

    def script(self, options=None, host="127.0.0.1", port=None):
        # The program says which tcpserver has started it.
        return (f"exec {self.bin}/tcpserver -HRl0 {options or self.options} -c500 {host} "
                f"{port or self.port} sh -c 'echo hello $PPID'\n")

    def svc(self, option):
        assert run(self.bin / "svc", option, self.dir).returncode == 0

    def server(self):
        """The pid of a tcpserver that listens, for certain."""
        self.talk_until(lambda said: said)
        return pid_of(self.dir)

    def talk(self, port=None):
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=20) as s:
            return s.makefile().read()

    def talk_until(self, good, port=None):
        def try_it():
            with contextlib.suppress(OSError):
                said = self.talk(port)
                return good(said) and said
        return wait_for(try_it, what="an answer")

    def kept(self):
        """Listening sockets that supervise holds, as (port, inode)."""
        inodes = processes.Sockets([]).words
        found = []
        for link in pathlib.Path(f"/proc/{self.supervise.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(link)
                match = re.match(r"socket:\[(\d+)\]", target)
                if match and inodes.get(match.group(1)) == "listen":
                    found.append(match.group(1))
        return found

    def refuses(self, port=None):
        try:
            self.talk(port)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


class Crowd:
    """Connects 200 times a second, and notes everything that goes wrong.

    Where the machine does not serve so many, it waits before the backlog
    overflows: that is another matter.
    """
    ROOM = 300

    def __init__(self, port):
        self.port = port
        self.wrong = []
        self.servers = set()
        self.served = 0
        self.room = threading.Semaphore(self.ROOM)
        self.ending = threading.Event()
        self.threads = []
        self.clock = threading.Thread(target=self.run)
        self.clock.start()

    def one(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
                said = s.makefile().read()
            assert said.startswith("hello ") and said.endswith("\n"), said
            self.servers.add(int(said.split()[1]))
            self.served += 1
        except (OSError, AssertionError) as error:
            self.wrong.append(repr(error))
        finally:
            self.room.release()

    def run(self):
        due = time.monotonic()
        while not self.ending.wait(max(0, due - time.monotonic())):
            due = max(due + 1 / 200, time.monotonic() - 0.1)
            if not self.room.acquire(timeout=1):
                continue
            self.threads.append(threading.Thread(target=self.one))
            self.threads[-1].start()

    def end(self):
        self.ending.set()
        self.clock.join()
        for thread in self.threads:
            thread.join()


def restart(service, how):
    """Another tcpserver listens where one did; both have served somebody."""
    before = service.server()
    how(before)
    wait_for(lambda: pid_of(service.dir) not in (0, before), what="another tcpserver")
    return before


def kill_without_connection(pid):
    """kill -9, when it has no connection of which nobody else knows yet."""
    idle = {"0", "1", "2"}

    def sockets():
        return [fd for fd in os.listdir(f"/proc/{pid}/fd") if fd not in idle]
    while True:
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: processes.status(pid)["State"][0] == "T", what="it to stop")
        if len(sockets()) == 2:  # signals, and where it listens
            break
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)  # or it would never get on
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", ["svc -t", "kill -9"])
def test_no_connection_is_refused_while_it_restarts(bin, keeper, how):
    service = Service(keeper, bin)
    service.server()
    crowd = Crowd(service.port)
    try:
        for _ in range(4):
            restart(service, (lambda pid: service.svc("-t")) if how == "svc -t" else
                    kill_without_connection)
        service.server()
        wait_for(lambda: crowd.served > 400, 60, "the crowd to be served")
    finally:
        crowd.end()
    assert crowd.wrong == []
    # Each has answered us, and most of them the crowd; 1 has inherited the
    # programs of servers that were gone.
    assert len(crowd.servers - {1}) > 2


def test_the_file_is_roots_or_the_owners(bin, keeper):
    service = Service(keeper, bin)
    service.server()
    mode = (service.dir / "supervise/keep").lstat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((service.dir / "supervise").stat().st_mode) == 0o700


@pytest.mark.parametrize("option", ["-d", "-dx", "-ok"])
def test_a_service_that_is_down_refuses(bin, keeper, option):
    service = Service(keeper, bin)
    service.server()
    assert len(service.kept()) == 1
    service.svc(option)
    wait_for(service.refuses, what="the port to be closed")
    if option == "-d":
        assert service.kept() == []
        service.svc("-u")
        assert service.server() and len(service.kept()) == 1


def test_a_changed_port_closes_the_old_one(bin, keeper):
    service = Service(keeper, bin)
    service.server()
    other = free_port()
    write_script(service.dir / "run", service.script(port=other))
    service.svc("-t")
    service.talk_until(lambda said: said, other)
    wait_for(service.refuses, what="the old port to be closed")
    assert len(service.kept()) == 1


def test_a_wider_address_takes_over(bin, keeper):
    """Host 0 cannot be bound beside what was kept for 127.0.0.1."""
    service = Service(keeper, bin)
    first = service.server()
    write_script(service.dir / "run", service.script(host="0"))
    service.svc("-t")
    service.talk_until(lambda said: said and int(said.split()[1]) != first)
    assert len(service.kept()) == 1


def test_a_changed_backlog_needs_no_new_socket(bin, keeper):
    service = Service(keeper, bin)
    service.server()
    kept = service.kept()
    write_script(service.dir / "run", service.script(options="-b7"))
    restart(service, lambda pid: service.svc("-t"))
    service.server()
    assert service.kept() == kept
    shown = subprocess.run(["ss", "-ltn", f"sport = :{service.port}"], capture_output=True,
                           text=True, check=True).stdout
    assert shown.splitlines()[1].split()[2] == "7"


def test_another_program_gets_the_port(bin, keeper):
    """One that knows nothing of this finds it in use, once."""
    service = Service(keeper, bin)
    service.server()
    write_script(service.dir / "run", f"exec {DEBIAN}/tcpserver -HRl0 127.0.0.1 {service.port} "
                 "echo the other\n")
    service.svc("-t")
    service.talk_until(lambda said: said == "the other\n")
    assert service.kept() == []


def test_a_run_script_that_fails_closes_the_port(bin, keeper):
    service = Service(keeper, bin)
    service.server()
    write_script(service.dir / "run", "exit 1\n")
    service.svc("-t")
    wait_for(service.refuses, what="the port to be closed")


def test_wherever_the_script_goes(bin, keeper):
    """The directory does not matter, and a foreign one does not confuse it."""
    trap = keeper.dir / "trap/supervise"
    trap.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(trap / "keep"))
        s.listen()
        s.settimeout(0)
        service = Service(keeper, bin)
        write_script(service.dir / "run", f"cd {trap.parent}\n{service.script()}")
        restart(service, lambda pid: service.svc("-t"))
        service.server()
        assert len(service.kept()) == 1
        with pytest.raises(BlockingIOError):
            s.accept()


def test_not_run_by_supervise_itself_it_binds_by_itself(bin, keeper):
    """Behind a shell, or by hand in the directory of a service."""
    service = Service(keeper, bin)
    service.server()
    write_script(service.dir / "run", service.script().replace("exec ", "") + "exit 0\n")
    service.svc("-t")
    wait_for(lambda: service.kept() == [], what="the socket to be dropped")
    other = free_port()
    by_hand = subprocess.Popen([bin / "tcpserver", "-HRl0", "127.0.0.1", str(other), "echo", "me"],
                               cwd=service.dir)
    try:
        service.talk_until(lambda said: said == "me\n", other)
        assert service.kept() == []
    finally:
        by_hand.terminate()
        by_hand.wait(20)
        service.svc("-d")
        for child, _ in processes.tree(pid_of(service.dir) or 0)[1:]:
            os.kill(child, signal.SIGTERM)


def speak(service, packet, fds=()):
    """What supervise answers to somebody: b"" when it hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(20)
        s.connect(str(service.dir / "supervise/keep"))
        with contextlib.suppress(BrokenPipeError):
            socket.send_fds(s, [packet], fds)
        try:
            return s.recv(100)
        except ConnectionResetError:
            return b""


def test_nobody_else_is_answered(bin, keeper):
    service = Service(keeper, bin)
    pid = service.server()
    kept = service.kept()
    key = f"127.0.0.1 {service.port}".encode()
    with socket.create_server(("127.0.0.1", 0)) as mine:
        for packet in b"t" + key, b"l" + key, b"x", b"t" * 1000:
            assert speak(service, packet, [mine.fileno()]) == b""
    assert service.kept() == kept and pid_of(service.dir) == pid


# What a ./run may say: a Python program in its place.
TALKER = """
exec /usr/bin/python3 -B -c '
import os, socket, time
mine = socket.create_server(("127.0.0.1", %(port)d))
def say(packet, fds=()):
    s.setblocking(True)
    socket.send_fds(s, [packet], fds)
def begin():
    global s
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect("supervise/keep")
def ask(key):
    say(b"t" + key)
    data, fds, _, _ = socket.recv_fds(s, 100, 4)
    for fd in fds: os.close(fd)
    return data, len(fds)
def leave(packet, fds=()):
    say(packet, fds)
    return s.recv(100)
begin()
assert ask(b"a") == (b"n", 0)
assert leave(b"la", [mine.fileno()]) == b"h"
assert ask(b"a") == (b"h", 1)
assert ask(b"") == (b"n", 0)
assert ask(b"a") == (b"n", 0)
assert leave(b"l" + b"k" * 127, [mine.fileno()]) == b"h"
assert ask(b"k" * 127) == (b"h", 1)
assert leave(b"lb") == b"n"
assert leave(b"lc", [0]) == b"n"
assert ask(b"k" * 127) == (b"h", 1)
assert leave(b"ld", [mine.fileno()] * 3) == b"h"
assert ask(b"d") == (b"h", 1)
for bad in b"zz", b"l" + b"k" * 500:
    assert leave(bad, [mine.fileno()]) == b""
    begin()
for _ in range(1000):
    assert leave(b"le", [mine.fileno()]) == b"h"
assert ask(b"e") == (b"h", 1)
mine.close()
print("all said", flush=True)
time.sleep(1000)
' >said 2>&1
"""


def test_what_a_service_says_is_bounded(bin, keeper):
    port = free_port()
    service = Service(keeper, bin, script=TALKER % {"port": port})
    said = service.dir / "said"
    wait_for(lambda: said.exists() and said.read_text(), what="it to have spoken")
    assert said.read_text() == "all said\n"
    assert len(service.kept()) == 1
    assert len(os.listdir(f"/proc/{service.supervise.pid}/fd")) < 12
    before = cpu_ticks(service.supervise.pid)
    service.svc("-p")
    wait_for(lambda: (service.dir / "supervise/status").read_bytes()[16] == 1, what="a pause")
    assert cpu_ticks(service.supervise.pid) - before < 20


def test_no_descriptors_left_neither_ends_nor_spins_supervise(bin, keeper):
    service = Service(keeper, bin)
    service.server()
    pid = service.supervise.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, 1024))
    before = cpu_ticks(pid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect(str(service.dir / "supervise/keep"))
        restart(service, lambda tcpserver: os.kill(tcpserver, signal.SIGKILL))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))
        service.server()
    assert cpu_ticks(pid) - before < 20
    assert service.supervise.poll() is None


def test_a_supervise_that_does_not_answer_is_not_waited_for(bin, keeper):
    """Then it binds, which works where nothing was kept."""
    service = Service(keeper, bin, script="sleep 1000\n")
    write_script(service.dir / "run", f"kill -STOP {service.supervise.pid}\n{service.script()}")
    service.svc("-k")
    try:
        wait_for(lambda: processes.status(service.supervise.pid)["State"].startswith("T"),
                 what="supervise to stop")
        service.talk_until(lambda said: said)
    finally:
        service.supervise.send_signal(signal.SIGCONT)


def test_a_supervise_that_is_killed_leaves_nothing_stuck(bin, keeper):
    service = Service(keeper, bin)
    orphan = service.server()
    service.supervise.kill()
    service.supervise.wait()
    assert service.talk().split()[1] == str(orphan)
    os.kill(orphan, signal.SIGTERM)
    wait_for(lambda: not exists(orphan), what="its end")
    service.supervise = keeper.supervise(bin / "supervise", service.dir)
    assert service.server() != orphan
    assert len(service.kept()) == 1


def test_supervise_without_room_for_a_socket_goes_on(bin, keeper):
    service = keeper.dir / "s"
    make_service(service, "echo up >up; exec sleep 1000\n")
    (service / "supervise/keep").mkdir(parents=True)
    process = keeper.supervise(bin / "supervise", service)
    wait_for(lambda: (service / "up").exists(), what="the service")
    assert f"warning: unable to listen at {service}/supervise/keep: " \
        in process.errors.read_text()


# ---- sockets that come with us ----


@pytest.fixture
def activated(bin):
    """tcpserver with these sockets from 3 on, as systemd would start it."""
    started = []

    def start(sockets, *args, pid="$$", count=None, **kw):
        fds = [s.fileno() for s in sockets]
        high = [os.dup2(fd, 100 + n) for n, fd in enumerate(fds)]
        moves = " ".join(f"{3 + n}<&{fd}" for n, fd in enumerate(high))
        closes = " ".join(f"{fd}<&-" for fd in high)
        process = subprocess.Popen(
            ["bash", "-c", f"exec {moves} {closes}\nexport LISTEN_PID={pid} "
             f"LISTEN_FDS={len(fds) if count is None else count} LISTEN_FDNAMES=x\n"
             'exec "$@"', "start", str(bin / "tcpserver"), "-v", "-HRl0", *args],
            pass_fds=high, stderr=subprocess.PIPE, text=True, **kw)
        for fd in high:
            os.close(fd)
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(20)
        process.stderr.close()


def said_at(port, address="127.0.0.1"):
    with socket.create_connection((address, port), timeout=20) as s:
        return s.makefile().read()


def test_inherited_sockets_are_used(activated):
    """The one for this port; even one that waited, with a connection in it."""
    with socket.create_server(("127.0.0.1", 0)) as other, \
            socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=20) as early:
            activated([other, mine], "127.0.0.1", str(port), "sh", "-c",
                      "env | grep LISTEN_; ls /proc/self/fd | wc -l")
            lines = early.makefile().read().split()
    # 0, 1, 2 and what ls has opened: neither the listener nor the other.
    assert lines == ["4"]
    assert said_at(port).split() == ["4"]


def test_an_inherited_socket_needs_no_host(activated):
    with socket.create_server(("127.0.0.1", 0)) as mine:
        activated([mine], "no.such.host.invalid", "0", "echo", "hi")
        assert said_at(mine.getsockname()[1]) == "hi\n"


def test_none_for_this_port_is_said(activated):
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as idle:
        process = activated([other, idle], "127.0.0.1", "9", "true")
        assert process.wait(20) == 111
        assert "none of 2 inherited sockets listens at port 9\n" in process.stderr.read()


@pytest.mark.parametrize("pid, count", [("1", None), ("$$", "x"), ("$$", 0), ("", None)])
def test_what_is_for_another_process_is_not_ours(activated, pid, count):
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        activated([other], "127.0.0.1", str(port), "echo", "bound", pid=pid, count=count)

        def answers():
            with contextlib.suppress(ConnectionRefusedError):
                return said_at(port)
        assert wait_for(answers, what="tcpserver") == "bound\n"
