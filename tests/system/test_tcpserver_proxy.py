"""The PROXY protocol, as tcpserver -F reads it."""

import os
import re
import resource
import signal
import socket
import struct
import subprocess

import pytest

import processes
from tcpservers import compile_rules, cpu_seconds, serve  # noqa: F401
from waiting import wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.25 4711 25\r\n"
# What the program says: who the client is, and the first bytes it gets.
SHOW = ("sh", "-c", "env | grep -E '^(TCP|PROXY|RULE)' | sort; head -c 4")


def v2(command, family, block):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack(">H", len(block)) + block


def tcp4(extra=b""):
    return v2(1, 0x11, socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.25") +
              struct.pack(">HH", 4711, 25) + extra)


def tcp6():
    return v2(1, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::7") +
              socket.inet_pton(socket.AF_INET6, "2001:db8::25") + struct.pack(">HH", 4711, 25))


def parse(said):
    lines = said.decode().split("\n")
    return dict(line.split("=", 1) for line in lines if "=" in line), lines[-1]


def open_to(server, source="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20,
                                    source_address=(source, 0))


def rest(sock):
    said = b""
    try:
        while chunk := sock.recv(65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said


@pytest.fixture
def front(bin, serve):
    def start(*options, networks="127.0.0.1,10.0.0.0/8", run=SHOW, **popen):
        return serve(bin / "tcpserver", "-HRl0", "-F", networks, *options, run=run, **popen)
    return start


@pytest.mark.parametrize("header, address", [
    (V1, "192.0.2.7"), (tcp4(), "192.0.2.7"), (tcp4(b"\x04\0\x03abc"), "192.0.2.7"),
    (tcp4(b"\x04\x0b\xb8" + bytes(3000)), "192.0.2.7"), (tcp6(), "2001:db8::7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::25 4711 25\r\n", "2001:db8::7"),
], ids=["v1", "v2", "v2 with more", "v2 with much more", "v2 ipv6", "v1 ipv6"])
def test_the_announced_client_is_the_client(front, header, address):
    server = front()
    with open_to(server) as s:
        s.sendall(header + b"QUIT")
        variables, read = parse(rest(s))
        ours = s.getsockname()[1]
    local = "2001:db8::25" if ":" in address else "198.51.100.25"
    assert variables == {"TCPREMOTEIP": address, "TCPREMOTEPORT": "4711", "TCPLOCALIP": local,
                         "TCPLOCALPORT": "25", "TCPLOCALHOST": "0", "PROXYIP": "127.0.0.1",
                         "PROXYPORT": str(ours)}
    assert read == "QUIT"
    server.wait_line(rf"pid \d+ from {address}$")
    server.wait_line(rf"ok \d+ 0:{local}:25 :{address}::4711$")


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c\r\n",
                                    v2(0, 0, b""), v2(0, 0x11, bytes(12)), v2(1, 0, b"x")])
def test_local_and_unknown_keep_the_real_ends(front, header):
    server = front()
    with open_to(server) as s:
        s.sendall(header + b"NOOP")
        variables, read = parse(rest(s))
        assert variables == {
            "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEPORT": str(s.getsockname()[1]),
            "TCPLOCALIP": "127.0.0.1", "TCPLOCALPORT": str(server.port), "TCPLOCALHOST": "0"}
    assert read == "NOOP"


@pytest.mark.parametrize("header", [V1, tcp4(b"\x04\0\x01z")], ids=["v1", "v2"])
def test_a_header_may_come_in_pieces(front, header):
    """Each byte alone; and the program gets every byte behind it."""
    server = front(run=("cat",))
    with open_to(server) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(header)):
            s.sendall(header[at:at + 1])
        s.sendall(b"x" * 100000)
        s.shutdown(socket.SHUT_WR)
        assert rest(s) == b"x" * 100000


BAD = {
    "none": b"EHLO x\r\n", "v1 without CR": V1[:-2] + b"\n",
    "v1 too long": b"PROXY UNKNOWN " + b"x" * 200,
    "version 3": SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    "command 2": v2(2, 0x11, bytes(12)), "too short": v2(1, 0x11, bytes(11)),
    "unix": v2(1, 0x31, bytes(216)), "too long": v2(1, 0x11, bytes(65535)),
    "garbage": bytes(range(256)),
}


@pytest.mark.parametrize("header", BAD.values(), ids=BAD)
def test_a_bad_header_closes(front, header):
    server = front("-B", "never said")
    with open_to(server) as s:
        s.sendall(header)
        assert rest(s) == b""
    server.wait_line("warning: dropping connection, bad PROXY header from 127.0.0.1$")
    assert not any(re.search("ok|pid", line) for line in server.lines())


def test_who_ends_or_says_nothing_is_dropped(front):
    server = front()
    with open_to(server) as quiet, open_to(server) as slow, open_to(server) as quick:
        slow.sendall(V1[:10])
        with open_to(server) as gone:
            gone.sendall(V1[:10])
        server.wait_line("no PROXY header from 127.0.0.1$")
        # Meanwhile nobody else waits.
        quick.sendall(V1 + b"DATA")
        assert b"192.0.2.7" in rest(quick)
        assert sum("no PROXY" in line for line in server.lines()) == 1
        assert rest(quiet) == rest(slow) == b""
    server.wait_line("no PROXY header from 127.0.0.1$", 3)


def test_dripping_bytes_do_not_buy_time(front):
    server = front()
    with open_to(server) as s:
        s.settimeout(0.2)
        s.sendall(b"PROXY UNKNOWN ")

        def is_closed():
            try:
                s.sendall(b"x")
                return s.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True
        wait_for(is_closed, 15, "the end of patience")
    server.wait_line("no PROXY header from 127.0.0.1$")


def test_banner_rules_and_names_come_after_the_header(bin, front, tmp_path):
    compile_rules(bin / "tcprules", tmp_path / "cdb",
                  '192.0.2.:allow,RULE="announced"\n127.:allow,RULE="proxy"\n:deny\n')
    server = front("-B", "220 hi\r\n", "-x", tmp_path / "cdb")
    with open_to(server) as s:
        s.settimeout(0.3)
        with pytest.raises(TimeoutError):
            s.recv(1)
        s.settimeout(20)
        s.sendall(V1 + b"DATA")
        said = rest(s)
    assert said.startswith(b"220 hi\r\n") and b"RULE=announced" in said
    with open_to(server) as s:
        s.sendall(b"PROXY TCP4 203.0.113.1 198.51.100.25 1 25\r\n")
        assert rest(s) == b"220 hi\r\n"
    server.wait_line("deny .*:203.0.113.1::1$")


def test_limits_are_those_of_the_announced_client(front):
    server = front("-C1", run=("sh", "-c", "echo in; read x"), env={**os.environ, "DIEMSG": "421 no"})
    with open_to(server) as a, open_to(server) as b, open_to(server) as c:
        a.sendall(V1)
        assert a.recv(10) == b"in\n"
        b.sendall(V1)
        assert rest(b) == b"421 no\r\n"
        c.sendall(V1.replace(b"0.2.7", b"0.2.8"))
        assert c.recv(10) == b"in\n"
    server.wait_line("deny 0 .*:192.0.2.7::4711 -C:1$")


def test_connections_that_wait_for_a_header_count(front):
    """-c is for all; and -c of them do not stop the server for good."""
    server = front("-c2", run=("sh", "-c", "echo in; read x"))
    with open_to(server) as a, open_to(server) as b, open_to(server) as c:
        c.sendall(V1)
        c.settimeout(0.3)
        with pytest.raises(TimeoutError):
            c.recv(1)
        a.sendall(V1)
        assert a.recv(10) == b"in\n"
        b.close()
        c.settimeout(20)
        assert c.recv(10) == b"in\n"
    assert not any("3/2" in line for line in server.lines())


def test_an_unlisted_header_closes_when_it_is_there(front):
    server = front(networks="10.0.0.0/8")
    for header in V1, tcp4():
        os.kill(server.process.pid, signal.SIGSTOP)
        with open_to(server) as s:
            s.sendall(header + b"DATA")
            os.kill(server.process.pid, signal.SIGCONT)
            assert rest(s) == b""
    server.wait_line("warning: dropping connection, unwanted PROXY header from 127.0.0.1$", 2)


def test_an_unlisted_header_that_comes_later_is_the_clients_bytes(front):
    """A server that speaks first does not wait; nobody believes the header."""
    server = front(networks="10.0.0.0/8", run=("sh", "-c", "echo hi; env; cat"))
    with open_to(server) as s:
        assert s.recv(3) == b"hi\n"
        s.sendall(V1)
        s.shutdown(socket.SHUT_WR)
        said = rest(s).decode()
    assert "TCPREMOTEIP=127.0.0.1\n" in said and "PROXYIP" not in said
    assert said.endswith(V1.decode())


def test_nothing_of_an_unlisted_client_is_consumed(front):
    server = front(networks="10.0.0.0/8", run=("cat",))
    os.kill(server.process.pid, signal.SIGSTOP)
    with open_to(server) as s:
        s.sendall(b"PROXIMA centauri")
        s.shutdown(socket.SHUT_WR)
        os.kill(server.process.pid, signal.SIGCONT)
        assert rest(s) == b"PROXIMA centauri"


def test_a_variable_of_ours_is_no_proxy(front):
    server = front(networks="10.0.0.0/8", env={**os.environ, "PROXYIP": "1.2.3.4", "PROXYPORT": "5"})
    with open_to(server) as s:
        s.sendall(b"DATA")
        assert "PROXYIP" not in parse(rest(s))[0]


def test_networks_may_be_several_and_ipv6(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-F", "192.0.2.0/24", "-F", "::1,10.0.0.1",
                   host="::", run=SHOW)
    with socket.create_connection(("::1", server.port), timeout=20) as s:
        s.sendall(V1 + b"DATA")
        variables, _ = parse(rest(s))
    assert variables["TCPREMOTEIP"] == "192.0.2.7" and variables["PROXYIP"] == "::1"


@pytest.mark.parametrize("value", ["x", "", "10.0.0.1/8", "127.0.0.1,", "127.0.0.1 10.0.0.1", "::/129"])
def test_F_needs_networks(bin, value):
    done = subprocess.run([bin / "tcpserver", "-F", value, "127.0.0.1", "0", "true"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 100
    assert f"option -F needs networks, not {value}" in done.stderr


def announcers(server):
    return processes.children(server.process.pid)


@pytest.mark.root
def test_the_header_is_read_by_nobody_with_nothing(bin, front):
    server = front(networks="127.0.0.0/8")
    with open_to(server) as other, open_to(server) as s:
        first, second = wait_for(lambda: len(announcers(server)) == 2 and announcers(server),
                                 what="two announcers")
        filter = "0" if "build-san" in str(bin) else "2"
        wait_for(lambda: processes.status(second)["NoNewPrivs"] == "1" and
                 processes.status(second)["Seccomp"] == filter, what="the sandbox")
        status = processes.status(second)
        assert "0" not in status["Uid"].split() + status["Gid"].split()
        assert status["Groups"].split() == status["Gid"].split()[:1]
        assert int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1"
        # The connection, the answer and the log: not the other's, no listener.
        assert sorted(os.listdir(f"/proc/{second}/fd")) == ["0", "1", "2"]
        s.sendall(V1 + b"DATA")
        other.sendall(V1 + b"DATA")
        assert b"192.0.2.7" in rest(s) and b"192.0.2.7" in rest(other)


def test_an_announcer_that_is_killed_drops_its_connection_alone(front):
    server = front(networks="127.0.0.0/8")
    with open_to(server) as a:
        [first] = wait_for(lambda: announcers(server), what="an announcer")
        with open_to(server) as b:
            wait_for(lambda: len(announcers(server)) == 2, what="another")
            os.kill(first, signal.SIGKILL)
            assert rest(a) == b""
            b.sendall(V1 + b"DATA")
            assert b"192.0.2.7" in rest(b)


def test_the_end_waits_for_headers_that_are_awaited(front):
    """A restart loses no connection that a proxy has just made."""
    server = front()
    with open_to(server) as s:
        wait_for(lambda: announcers(server), what="an announcer")
        server.process.terminate()
        s.sendall(V1 + b"DATA")
        assert b"192.0.2.7" in rest(s)
    assert server.process.wait(20) == 0


def test_no_descriptors_left_neither_ends_nor_spins_with_headers(front):
    server = front(run=("echo", "served"))
    pid = server.process.pid
    server.wait_line("status: 0/40")
    # One for the connection, none for what the announcer answers by.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (6, 1024))
    with open_to(server) as s:
        assert rest(s) == b""
        server.wait_line("dropping connection, unable to fork: Too many open files")
    assert server.process.poll() is None
    with open_to(server) as s:
        server.wait_line("Too many open files", 2)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))
    server.wait_line("Too many open files", 2)
    assert cpu_seconds(pid) < 0.5

    def serves():
        with open_to(server) as s:
            s.sendall(V1)
            return rest(s) == b"served\n"
    wait_for(serves, what="descriptors")


@pytest.mark.root
def test_no_process_left_neither_ends_nor_spins_with_headers(front, bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-u", "48214", "-g", "48214", "-F", "127.0.0.1",
                   run=("echo", "served"), prefix=("prlimit", "--nproc=0:1000"))
    pid = server.process.pid
    with open_to(server) as s:
        assert rest(s) == b""
    server.wait_line("dropping connection, unable to fork: ")
    subprocess.run(["prlimit", f"--pid={pid}", "--nproc=1000:1000"],
                   user=48214, group=48214, extra_groups=[], check=True)
    with open_to(server) as s:
        s.sendall(V1)
        assert rest(s) == b"served\n"
    assert cpu_seconds(pid) < 0.5
