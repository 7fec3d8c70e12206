"""How many connections one address and one network may have (tcpserver)."""

import contextlib
import os
import resource
import signal
import socket
import subprocess

import pytest

from tcpservers import compile_rules, cpu_seconds, serve  # noqa: F401
from waiting import wait_for

# Says that it is there, and stays until it gets a line or the end.
STAY = ("sh", "-c", "echo in; read x")


class Client:
    def __init__(self, server, source="127.0.0.1"):
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=20,
                                             source_address=(source, 0))

        self.file = self.sock.makefile("rb")

    def line(self):
        return self.file.readline()

    def is_in(self):
        return self.line() == b"in\n"

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def connect():
    clients = []

    def one(server, source="127.0.0.1"):
        clients.append(Client(server, source))
        return clients[-1]

    yield one
    for client in clients:
        client.close()


def env(**variables):
    return {**os.environ, **variables}


@pytest.fixture(params=["at once", "with a banner"])
def way(request):
    """The two paths: with a banner, a child serves each connection."""
    return () if request.param == "at once" else ("-B", "hi\r\n")


def enters(client, way):
    return (not way or client.line() == b"hi\r\n") and client.is_in()


def test_C_limits_one_address(bin, serve, connect, way):
    server = serve(bin / "tcpserver", "-HRl0", "-C2", *way, run=STAY,
                   env=env(DIEMSG="421 too many of you"))
    inside = [connect(server) for _ in range(2)]
    assert all(enters(client, way) for client in inside)
    refused = connect(server)
    assert refused.line() == b"421 too many of you\r\n"
    assert refused.line() == b""
    # No process for it: 0, and no more `status:` lines than before.
    server.wait_line(r"deny 0 .*:127\.0\.0\.1::\d+ -C:2$")
    assert enters(connect(server, "127.0.0.2"), way)
    inside[0].close()
    server.wait_line("end ")
    assert enters(connect(server), way)
    assert not any("4/40" in line for line in server.lines())


def test_M_limits_one_network(bin, serve, connect, way):
    server = serve(bin / "tcpserver", "-HRl0", "-M", "2", *way, run=STAY)
    inside = [connect(server, source) for source in ("127.0.0.1", "127.0.0.2")]
    assert all(enters(client, way) for client in inside)
    assert connect(server, "127.0.0.3").line() == b""
    server.wait_line(r"deny 0 .*:127\.0\.0\.3::\d+ -M:2$")
    assert enters(connect(server, "127.0.1.1"), way)
    inside[1].close()
    server.wait_line("end ")
    assert enters(connect(server, "127.0.0.3"), way)


def test_M_says_how_large_a_network_is(bin, serve, connect):
    server = serve(bin / "tcpserver", "-HRl0", "-M", "1/16/48", run=STAY)
    assert connect(server, "127.0.0.1").is_in()
    assert connect(server, "127.0.9.1").line() == b""
    assert connect(server, "127.1.0.1").is_in()


@pytest.mark.parametrize("value", ["0", "x", "1/33", "1/24/129", "1/", "", "1/1/1/1"])
def test_M_and_C_need_numbers(bin, value):
    for option in ["-M", *(["-C"] if "/" not in value else [])]:
        done = subprocess.run([bin / "tcpserver", option, value, "127.0.0.1", "0", "true"],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 100
        assert f"option {option} needs a number from" in done.stderr


def test_rules_limit_with_the_names_of_the_patch(bin, serve, connect, tmp_path, way):
    compile_rules(bin / "tcprules", tmp_path / "cdb", """\
127.0.0.9:allow,MAXCONNIP="0",DIEMSG="421 never"
127.0.0.1:allow,MAXCONNIP="1",DIEMSG="421 one is enough"
127.0.2.:allow,MAXCONNC="2"
:allow
""")
    server = serve(bin / "tcpserver", "-HRl0", "-x", tmp_path / "cdb", *way, run=STAY,
                   env=env(MAXCONNIP="3", DIEMSG="421 for all"))
    banner = b"hi\r\n" if way else b""

    def farewell(source):
        client = connect(server, source)
        return b"".join(iter(client.line, b""))

    assert farewell("127.0.0.9") == banner + b"421 never\r\n"
    assert enters(connect(server), way)
    assert farewell("127.0.0.1") == banner + b"421 one is enough\r\n"
    # The network of a rule; the default and the farewell of the environment.
    assert enters(connect(server, "127.0.2.1"), way)
    assert enters(connect(server, "127.0.2.2"), way)
    assert farewell("127.0.2.3") == banner + b"421 for all\r\n"
    for _ in range(3):
        assert enters(connect(server, "127.0.3.1"), way)
    assert farewell("127.0.3.1") == banner + b"421 for all\r\n"
    for flag in "MAXCONNIP:0", "MAXCONNIP:1", "MAXCONNC:2", "MAXCONNIP:3":
        server.wait_line(rf"deny \d+ \S* \S* {flag}$")
    assert all(("deny 0 " in line) == (not way) for line in server.lines() if "deny" in line)


def test_MAXLOAD_refuses_while_the_machine_is_busy(bin, serve):
    refused = serve(bin / "tcpserver", "-HRl0", env=env(MAXLOAD="0", DIEMSG="421 busy"))
    assert refused.talk() == b"421 busy\r\n"
    refused.wait_line("deny 0 .* LOAD:0$")
    assert serve(bin / "tcpserver", "-HRl0", env=env(MAXLOAD="100000000")).talk()


def test_a_limit_that_is_no_number_is_said_and_ignored(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", run=("echo", "in"), env=env(MAXCONNIP="many"))
    assert server.talk() == b"in\n"
    server.wait_line("warning: ignoring MAXCONNIP, which is no number: many$")


def test_an_ipv6_client_is_its_network(bin, serve, connect):
    """Addresses of ::/64 but ::1 need a network of our own: by PROXY."""
    server = serve(bin / "tcpserver", "-HRl0", "-C1", "-F", "127.0.0.0/8", run=STAY)
    for address, want in ("2001:db8::1", b"in\n"), ("2001:db8::ffff:2", b""), \
            ("2001:db8:0:1::1", b"in\n"):
        client = connect(server)
        client.sock.sendall(f"PROXY TCP6 {address} ::1 1 2\r\n".encode())
        assert client.line() == want, address


def test_a_farewell_reaches_who_has_spoken(bin, serve, connect):
    """Unread bytes would reset the connection before it is read."""
    server = serve(bin / "tcpserver", "-HRl0", "-C1", run=STAY, env=env(DIEMSG="421 no"))
    assert connect(server).is_in()
    os.kill(server.process.pid, signal.SIGSTOP)
    client = connect(server)
    client.sock.sendall(b"GET / HTTP/1.0\r\n\r\n" * 100)
    os.kill(server.process.pid, signal.SIGCONT)
    assert client.line() == b"421 no\r\n"
    assert client.line() == b""


def test_counts_stay_right_under_churn(bin, serve):
    """However connections end, the places they had are free again."""
    server = serve(bin / "tcpserver", "-HRl0", "-c50", "-C3", run=("sh", "-c", "echo in; exec cat"))
    told = {b"in\n": 0, b"": 0}
    open_now = []
    for turn in range(300):
        source = f"127.0.0.{turn % 5 + 1}"
        client = Client(server, source)
        told[client.line()] += 1
        open_now.append(client)
        if len(open_now) > 14:
            open_now.pop(turn % 7).close()
    assert told[b""] > 0 and told[b"in\n"] > 100
    for client in open_now:
        client.close()
    server.wait_line("status: 0/50", 2)
    wait_for(lambda: server.lines()[-1].endswith("status: 0/50"), what="all to end")
    for number in range(5):
        inside = [Client(server, f"127.0.0.{number + 1}") for _ in range(3)]
        assert all(client.is_in() for client in inside)
        for client in inside:
            client.close()


def test_refusals_cost_neither_processes_nor_descriptors(bin, serve, connect):
    server = serve(bin / "tcpserver", "-HRl0", "-C1", run=STAY)
    assert connect(server).is_in()
    pid = server.process.pid
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(200):
        with contextlib.closing(Client(server)) as client:
            assert client.line() == b""
    assert len(os.listdir(f"/proc/{pid}/fd")) == before
    assert sum(" pid " in line for line in server.lines()) == 1


def test_no_descriptors_left_neither_ends_nor_spins_with_limits(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-C5", run=("echo", "served"))
    pid = server.process.pid
    server.wait_line("status: 0/40")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, 1024))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        server.wait_line("unable to accept a connection: Too many open files", 2)
        assert cpu_seconds(pid) < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))
        assert s.recv(10) == b"served\n"
