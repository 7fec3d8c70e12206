"""tcpclient, recordio and their like, beside those of ucspi-tcp 0.88."""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import processes
from waiting import wait_for

DEBIAN = pathlib.Path("/usr/bin")
REASONS = {
    "No such file or directory": "file does not exist",
    "Permission denied": "access denied",
    "Connection refused": "connection refused",
    "Connection timed out": "timed out",
    "Cannot assign requested address": "address not available",
    "Address already in use": "address already used",
}


@pytest.fixture(autouse=True)
def needs_debian():
    if not (DEBIAN / "tcpclient").exists():
        pytest.fail("install Debian's package ucspi-tcp")


def like_theirs(text):
    """The system's words for an errno as djb's."""
    for ours, theirs in REASONS.items():
        text = text.replace(ours, theirs)
    return text


def run(program, *args, **popen):
    popen.setdefault("stdin", subprocess.DEVNULL if "input" not in popen else None)
    if popen["stdin"] is None:
        del popen["stdin"]
    return subprocess.run([str(program), *map(str, args)], capture_output=True,
                          timeout=60, **popen)


def same(bin, name, *args, **popen):
    """Output, complaints and exit code are the original's; returns ours."""
    ours = run(bin / name, *args, **popen)
    theirs = run(DEBIAN / name, *args, **popen)
    assert (ours.returncode, ours.stdout, like_theirs(ours.stderr.decode())) == \
        (theirs.returncode, theirs.stdout, theirs.stderr.decode())
    return ours


class Peer:
    """A TCP server: each connection is given to `talk` in a thread."""

    def __init__(self, talk=None, host="127.0.0.1", family=socket.AF_INET, port=0):
        self.listening = socket.create_server((host, port), family=family, backlog=50)
        self.port = self.listening.getsockname()[1]
        self.talk = talk or (lambda connection: connection.sendall(b"hello\n"))
        self.threads = []
        self.accepting = threading.Thread(target=self.accept)
        self.accepting.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def serve(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            connection.settimeout(30)
            self.talk(connection)

    def close(self):
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.accepting.join()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def peers():
    made = []

    def make(*args, **kw):
        made.append(Peer(*args, **kw))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


def read_all(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def deaf():
    """Makes addresses whose connections nobody answers: the backlog is full."""
    sockets = []

    def make(host="127.0.0.1", port=0):
        listening = socket.socket()
        listening.bind((host, port))
        listening.listen(0)
        address = listening.getsockname()
        sockets.append(listening)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            sockets.append(filler)
        with socket.socket() as probe:
            probe.settimeout(0.05)
            wait_for(lambda: probe.connect_ex(address) == 11, what="a full backlog")
        return address[1]

    yield make
    for each in sockets:
        each.close()


@pytest.fixture
def free_port():
    """A port that nobody listens on, and nobody is given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


# ---- tcpclient: misuse ----


@pytest.mark.parametrize("args", [
    (), ("127.0.0.1",), ("127.0.0.1", "1"), ("-i", "x", "127.0.0.1", "1", "true"),
    ("-i", "", "127.0.0.1", "1", "true"), ("-i", "0", "127.0.0.1", "1", "true"),
    ("-q",), ("-q", "127.0.0.1", "1"),
    ("-RHl0", "127.0.0.1", "no-such-port", "true"), ("-RHl0", "127.0.0.1", "-1", "true"),
    ("-RHl0", "127.0.0.1", "1x", "true"),
    ("-qRHl0", "127.0.0.1", "no-such-port", "true"),
], ids=" ".join)
def test_tcpclient_refuses_as_the_original(bin, args):
    assert same(bin, "tcpclient", *args).returncode in (100, 111)


@pytest.mark.parametrize("options, says", [("-RHl0", b"no.such.host.invalid"), ("-qRHl0", b"")])
def test_tcpclient_needs_a_host_that_somebody_knows(bin, options, says):
    # The original asks DNS, where it has no server here; ours the system.
    for folder in bin, DEBIAN:
        done = run(folder / "tcpclient", options, "no.such.host.invalid", "1", "true")
        assert done.returncode == 111
        assert says in done.stderr and bool(done.stderr) == bool(says)


@pytest.mark.parametrize("args", [("-qx", "127.0.0.1", "1", "true"), ("-i",), ("-vT",)], ids=" ".join)
def test_tcpclient_shows_its_usage_for_an_unknown_option(bin, args):
    ours = run(bin / "tcpclient", *args)
    theirs = run(DEBIAN / "tcpclient", *args)
    assert ours.returncode == theirs.returncode == 100
    # The original names the option in a line before.
    assert theirs.stderr.endswith(ours.stderr)


@pytest.mark.parametrize("option", ["-px", "-p99999", "-p10x", "-Tx", "-T1+x", "-T", "-tx"])
def test_tcpclient_wants_numbers_to_be_numbers(bin, option):
    # The original reads as many digits as there are, and drops high bits.
    done = run(bin / "tcpclient", "-RHl0", option, "127.0.0.1", "1", "true")
    assert done.returncode == 100
    assert done.stderr.startswith(b"tcpclient: ")


def test_tcpclient_takes_no_port_for_another(bin):
    done = run(bin / "tcpclient", "-RHl0", "127.0.0.1", "65561", "true")
    assert done.returncode == 111
    assert done.stderr == b"tcpclient: fatal: unable to figure out port number for 65561\n"


# ---- tcpclient: one connection ----


@pytest.mark.parametrize("program", [
    ("no-such-program",), ("/etc/passwd",), ("-v",), ("sh", "-c", "exit 7"), ("true",), ("false",),
    ("sh", "-c", "kill -9 $$"), ("sh", "-c", "cat <&6"), ("sh", "-c", "echo x; exec cat <&6 >&2"),
], ids=" ".join)
@pytest.mark.parametrize("options", ["-RHl0", "-qRHl0", "-QRHl0", "-vRHl0", "-vQRHl0"])
def test_tcpclient_becomes_the_program(bin, peers, options, program):
    # A folder of PATH that this user may not search would be the reason.
    same(bin, "tcpclient", options, "127.0.0.1", peers().port, *program,
         env={"PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize("host", ["127.0.0.1", "0", "", "[127.0.0.1]"])
@pytest.mark.parametrize("options", [(), ("-i", "127.0.0.9"), ("-i", "0.0.0.0"), ("-l", "Name"), ("-D",)],
                         ids=" ".join)
def test_tcpclient_sets_the_environment_of_the_original(bin, peers, host, options):
    dirty = {"PATH": os.environ["PATH"], "PROTO": "x", "TCPREMOTEHOST": "old",
             "TCPREMOTEINFO": "old", "TCPLOCALHOST": "old", "TCPLOCALIP": "old", "OTHER": "kept"}
    port = peers().port
    seen = []
    for folder in bin, DEBIAN:
        done = run(folder / "tcpclient", "-RHl0", *options, host, port, "env", env=dirty)
        assert (done.returncode, done.stderr) == (0, b"")
        variables = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
        assert int(variables.pop("TCPLOCALPORT")) > 0
        seen.append(variables)
    assert seen[0] == seen[1]
    assert seen[0]["TCPREMOTEPORT"] == str(port)


def test_tcpclient_connects_from_a_port(bin, peers, free_port):
    # Who connected from a port cannot again for a while: one each.
    port = peers(lambda connection: connection.recv(1)).port
    ask = ("-RHl0", "-p", free_port, "127.0.0.1", port, "printenv", "TCPLOCALPORT")
    for folder in bin, DEBIAN:
        done = run(folder / "tcpclient", *ask)
        assert done.returncode == 111
        assert like_theirs(done.stderr.decode()) == \
            "tcpclient: fatal: unable to bind socket: address already used\n"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        source = other.getsockname()[1]
    done = run(bin / "tcpclient", "-RHl0", "-p", source, "127.0.0.1", port, "printenv", "TCPLOCALPORT")
    assert done.stdout == b"%d\n" % source


def test_tcpclient_does_not_connect_from_elsewhere(bin, peers):
    done = same(bin, "tcpclient", "-RHl0", "-i", "192.0.2.1", "127.0.0.1", peers().port, "true")
    assert done.returncode == 111
    same(bin, "tcpclient", "-qRHl0", "-i", "192.0.2.1", "127.0.0.1", peers().port, "true")


def test_tcpclient_says_who_refuses(bin, free_port):
    for options in "-RHl0", "-qRHl0", "-vRHl0":
        assert same(bin, "tcpclient", options, "127.0.0.1", free_port, "true").returncode == 111


def test_tcpclient_delays_or_not(bin, peers):
    ask = ("/usr/bin/python3", "-c", "import os, socket\n"
           "for fd in 6, 7:\n s = socket.socket(fileno=fd)\n"
           " print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),\n"
           "  s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), os.get_blocking(fd))")
    for options in "-d", "-D", "-Dd", "-dD":
        done = same(bin, "tcpclient", options, "-RHl0", "127.0.0.1", peers().port, *ask)
        assert done.stdout.startswith(b"1" if options.endswith("D") else b"0")


LIST = "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"


def test_tcpclient_leaves_descriptors_as_they_are(bin, peers):
    """6 and 7 are the connection, whatever they were; others stay."""
    port = peers().port
    end, other = os.pipe()
    try:
        for fds in (), (3,), (5, 6), (6,), (7,), (3, 4, 5, 6, 7, 8, 9):
            seen = []
            for folder in bin, DEBIAN:
                program = [str(folder / "tcpclient"), "-RHl0", "127.0.0.1", str(port),
                           "/usr/bin/python3", "-c", LIST]
                script = "import os, sys\n" + "".join(
                    f"os.dup2({end}, {fd}, True)\n" for fd in fds) + \
                    f"os.execv({program[0]!r}, {program!r})"
                done = run("/usr/bin/python3", "-c", script, pass_fds=(end,))
                assert done.returncode == 0, done
                seen.append(done.stdout)
            assert seen[0] == seen[1]
    finally:
        os.close(end)
        os.close(other)


def test_tcpclient_has_descriptors_0_to_2(bin, peers):
    # The original leaves them closed.
    program = [str(bin / "tcpclient"), "-vRHl0", "127.0.0.1", str(peers().port), "sh", "-c",
               "for fd in 0 1 2; do [ $(readlink /proc/$$/fd/$fd) = /dev/null ] || exit 9; done; "
               "[ -S /proc/$$/fd/6 ]"]
    done = run("/usr/bin/python3", "-c", "import os\nfor fd in 0, 1, 2: os.close(fd)\n"
               f"os.execv({program[0]!r}, {program!r})")
    assert done.returncode == 0


@pytest.mark.parametrize("pipe", [signal.SIG_IGN, signal.SIG_DFL])
def test_tcpclient_passes_signals_on_but_for_sigpipe(bin, peers, pipe):
    def before():
        signal.signal(signal.SIGPIPE, pipe)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    said = same(bin, "tcpclient", "-RHl0", "127.0.0.1", peers().port, "grep",
                "^SigIgn", "/proc/self/status", preexec_fn=before,
                restore_signals=False).stdout.decode()
    ignored = int(said.split()[1], 16)
    assert ignored & 1 << signal.SIGHUP - 1
    assert not ignored & 1 << signal.SIGPIPE - 1


def test_tcpclient_and_signals_ignored_by_who_starts_it(bin, peers):
    """Without SIGCHLD tcplookup could not be waited for."""
    done = run(bin / "tcpclient", "-R", "127.0.0.1", peers().port, "printenv", "TCPREMOTEHOST",
               preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert (done.stdout, done.stderr) == (b"localhost\n", b"")


def test_tcpclient_half_closes(bin, peers):
    """The server sees our end, and its own data still come: 6 and 7 are one
    socket, so that shutdown(2) closes a half, and close(2) does not."""
    port = peers(lambda c: c.sendall(b"got %d\n" % len(read_all(c)))).port
    program = ("/usr/bin/python3", "-c", "import os, socket, sys\n"
               "s = socket.socket(fileno=7)\ns.sendall(b'x' * 3000000)\n"
               "s.shutdown(socket.SHUT_WR)\ns.close()\n"
               "sys.stdout.write(os.fdopen(6).read())")
    assert same(bin, "tcpclient", "-RHl0", "127.0.0.1", port, *program).stdout == b"got 3000000\n"


def test_tcpclient_sees_a_server_that_closes(bin, peers):
    peer = peers(lambda c: c.sendall(b"bye\n"))
    assert same(bin, "tcpclient", "-RHl0", "127.0.0.1", peer.port, "cat", "/dev/fd/6",
                ).returncode == same(bin, "tcpclient", "-RHl0", "127.0.0.1", peer.port, "sh", "-c",
                                     "cat /dev/fd/6").returncode
    done = same(bin, "tcpclient", "-RHl0", "127.0.0.1", peer.port, "sh", "-c",
                "cat <&6; exec dd if=/dev/zero bs=65536 count=999 status=none >&7")
    assert done.returncode != 0 and done.stdout == b"bye\n"


def test_tcpclient_speaks_ipv6(bin, peers):
    peer = peers(host="::1", family=socket.AF_INET6)
    for host in "::1", "[::1]", "0:0::1":
        done = run(bin / "tcpclient", "-vRHl0", "-i", "::1", host, peer.port, "env")
        assert b"\nTCPREMOTEIP=::1\n" in done.stdout and b"TCPLOCALIP=::1\n" in done.stdout
        assert b"PROTO=TCP\n" in done.stdout
        assert done.stderr == b"tcpclient: connected to ::1 port %d\n" % peer.port
    # This machine is both, IPv4 first.
    done = run(bin / "tcpclient", "-vRHl0", "0", peer.port, "true")
    assert done.returncode == 0
    assert like_theirs(done.stderr.decode()).splitlines() == [
        f"tcpclient: unable to connect to 127.0.0.1 port {peer.port}: connection refused",
        f"tcpclient: connected to ::1 port {peer.port}"]


def test_tcpclient_keeps_to_the_kind_of_its_own_address(bin, peers):
    done = run(bin / "tcpclient", "-RHl0", "-i", "::1", "127.0.0.1", peers().port, "true")
    assert done.returncode == 111
    assert b"127.0.0.1" in done.stderr and b"family not supported" in done.stderr


# ---- tcpclient: names ----


@pytest.fixture
def names(bin, tmp_path):
    """A tcpclient with a tcplookup that answers what a test says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(bin / "tcpclient", folder)
    if os.geteuid() == 0:
        # tcplookup runs as somebody who must be able to reach it.
        for path in [tmp_path, *tmp_path.parents]:
            if path != pathlib.Path("/tmp") and str(path).startswith("/tmp/"):
                path.chmod(0o755)

    def answer(script):
        (folder / "tcplookup").write_text("#!/bin/sh\n" + script)
        (folder / "tcplookup").chmod(0o755)
        return folder / "tcpclient"

    return answer


def answers(*lines):
    return "".join(f"echo '{line}'\n" for line in lines)


def test_tcpclient_looks_names_up(bin, peers):
    done = run(bin / "tcpclient", "-R", "localhost", peers().port, "env")
    assert b"\nTCPREMOTEHOST=localhost\n" in done.stdout
    assert b"TCPLOCALHOST=localhost\n" in done.stdout
    assert b"TCPREMOTEINFO" not in done.stdout
    done = run(bin / "tcpclient", "-RHl0", "127.0.0.1", "discard", "true")
    assert b"unable to connect to 127.0.0.1 port 9: " in done.stderr


def test_tcpclient_asks_about_the_connection(names, peers):
    client = names('case " $* " in *" -r "*) echo "i joe";; esac\n'
                   'case " $* " in *" -h "*) echo "h Far.Example";; esac\n'
                   'case " $* " in *" -l "*) echo "l Near.Example";; esac\n')
    port = peers().port
    for options, want in [
        ((), {"TCPLOCALHOST": "near.example", "TCPREMOTEHOST": "far.example", "TCPREMOTEINFO": "joe"}),
        (("-HhRr",), {"TCPLOCALHOST": "near.example", "TCPREMOTEHOST": "far.example", "TCPREMOTEINFO": "joe"}),
        (("-H",), {"TCPLOCALHOST": "near.example", "TCPREMOTEINFO": "joe"}),
        (("-R", "-l0"), {"TCPLOCALHOST": "0", "TCPREMOTEHOST": "far.example"}),
        (("-RH", "-lX"), {"TCPLOCALHOST": "X"}),
    ]:
        done = run(client, *options, "127.0.0.1", port, "env")
        seen = dict(line.split("=", 1) for line in done.stdout.decode().splitlines()
                    if re.match("TCP.*(HOST|INFO)", line))
        assert seen == want, done


def test_tcpclient_does_not_wait_for_names(names, peers):
    client = names("echo 'h Known.Example'\nexec sleep 60\n")
    done = run(client, "-t1", "127.0.0.1", peers().port, "env")
    assert b"\nTCPREMOTEHOST=known.example\n" in done.stdout
    assert b"TCPLOCALHOST" not in done.stdout


def spent(program, *args):
    began = time.monotonic()
    done = run(program, *args)
    return done, time.monotonic() - began


# 2 and 3 do not answer, 4 refuses, 5 is there. The original takes several
# addresses as one argument, ours only from tcplookup.
@pytest.mark.parametrize("hosts,limit,seconds", [
    ((2,), "1", 1), ((2,), "1+0", 1), ((2,), "1+1", 2), ((2,), "0+1", 1), ((2,), "0", 0),
    ((2, 3), "1", 2), ((2, 4), "1", 1), ((2, 4), "1+1", 2), ((4, 2), "1+1", 2),
    ((2, 5), "1", 1), ((2, 5), "1+1", 1), ((4, 5), "1+1", 0), ((2, 4, 3, 5), "1+1", 2),
    ((2, 4, 3, 5), "1", 2), ((5, 2), "9", 0),
], ids=str)
def test_tcpclient_tries_all_addresses_shortly_first(names, peers, deaf, hosts, limit, seconds):
    port = deaf("127.0.9.2")
    deaf("127.0.9.3", port)
    peers(host="127.0.9.5", port=port)
    client = names(answers(*(f"127.0.9.{n}" for n in hosts)))
    ours, our_time = spent(client, "-vRHl0", "-T", limit, "host.example", port, "true")
    theirs, _ = spent(DEBIAN / "tcpclient", "-vRHl0", "-T", limit,
                      ".".join(f"127.0.9.{n}" for n in hosts), port, "true")
    assert (ours.returncode, like_theirs(ours.stderr.decode())) == \
        (theirs.returncode, theirs.stderr.decode())
    assert ours.returncode == (0 if 5 in hosts else 111)
    assert seconds <= our_time + 0.1 < seconds + 10


def test_tcpclient_tries_the_late_ones_again(names, deaf):
    """A second try, with the long limit, finds a server that was busy."""
    with socket.socket() as busy:
        busy.bind(("127.0.9.6", 0))
        busy.listen(0)
        address = busy.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        client = names(answers("127.0.9.6", "127.0.9.7"))
        process = subprocess.Popen(
            [client, "-vRHl0", "-T1+30", "host.example", str(address[1]), "true"],
            stderr=subprocess.PIPE)
        refused = process.stderr.readline()  # the first round is over
        busy.settimeout(20)
        accepted = [busy.accept()[0] for _ in range(2)]
        assert b"connected to 127.0.9.6" in process.stderr.read()
        assert b"127.0.9.7" in refused
        assert process.wait(20) == 0
        process.stderr.close()
        for each in accepted + fillers:
            each.close()


def test_tcpclient_takes_no_more_addresses_than_it_has_room_for(names, free_port):
    client = names("i=0; while echo 127.0.0.1; do :; done 2>/dev/null\n")
    done = run(client, "-RHl0", "host.example", free_port, "true")
    assert done.returncode == 111
    assert len(done.stderr.splitlines()) == 64


def test_tcpclient_survives_a_tcplookup_that_is_broken(names, peers, tmp_path):
    port = peers().port
    client = names("head -c 100000 /dev/zero; echo; echo '127.0.0.1 x'; kill -9 $$\n")
    done = run(client, "-RHl0", "host.example", port, "true")
    assert (done.returncode, done.stderr) == (
        111, b"tcpclient: fatal: no IP address for host.example\n")
    (tmp_path / "bin/tcplookup").unlink()
    done = run(client, "127.0.0.1", port, "true")
    assert done.returncode == 0


# ---- tcpclient: trouble ----


@pytest.mark.parametrize("limit", range(3, 8))
def test_tcpclient_with_too_few_descriptors_says_so(bin, peers, limit):
    done = run(bin / "tcpclient", "-RHl0", "127.0.0.1", peers().port, "true",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert done.returncode == 111
    assert done.stderr.startswith(b"tcpclient: fatal: unable to ")


def test_tcpclient_is_not_stopped_by_signals(bin, deaf):
    """A signal that is handled nowhere, or only stops it for a moment."""
    process = subprocess.Popen(
        [bin / "tcpclient", "-RHl0", "-T2", "127.0.0.1", str(deaf()), "true"],
        stderr=subprocess.PIPE)
    wait_for(lambda: processes.exe(process.pid).endswith("/tcpclient") and
             processes.status(process.pid)["State"].startswith("S"), what="it to wait")
    began = time.monotonic()
    process.send_signal(signal.SIGWINCH)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    assert b"timed out" in process.communicate(timeout=20)[1]
    assert process.returncode == 111
    assert time.monotonic() - began < 10


def test_tcpclient_whose_stderr_is_gone(bin, free_port):
    end, other = os.pipe()
    os.close(end)
    for folder in bin, DEBIAN:
        done = subprocess.run([folder / "tcpclient", "-vRHl0", "127.0.0.1", str(free_port), "true"],
                              stderr=other, timeout=20)
        assert done.returncode == 111
    os.close(other)


# ---- argv0 ----


@pytest.mark.parametrize("args", [
    (), ("sh",), ("no-such-program", "x"), ("/etc/passwd", "x"), ("-v", "x"), ("/", "x"),
    ("sh", "-zero", "-c", "echo $0"), ("/bin/sh", "x", "-c", "echo $0 $1; exit 9", "a", "b"),
    ("cat", "", "/proc/self/cmdline"), ("cat", "zero", "-A", "/proc/self/cmdline"),
    ("sh", "x", "-c", "kill -9 $$"), ("true", "x"), ("false", "x"),
], ids=" ".join)
def test_argv0(bin, args):
    same(bin, "argv0", *args, env={"PATH": "/usr/bin:/bin"})


# ---- addcr, delcr, fixcrio: line ends ----


ENDS = [b"", b"a\n", b"a", b"\n\n", b"a\r\nb\r", b"\r\r\n", b"\r\ra\r\n\n\r", b"a\r", b"\r", b"\r\n\r\n",
        b"\0\n\0", b"x" * 8191 + b"\r\n" + b"y" * 8191 + b"\n", b"\xff\r\xfe\n"]


def random_lines(size=300_000):
    """Many line ends; the same ones each time."""
    state, made = 1, bytearray()
    while len(made) < size:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        made += b"\r\n\rab"[state >> 60 & 3:][:1] * (1 + (state >> 40 & 1))
    return bytes(made)


@pytest.mark.parametrize("program", ["addcr", "delcr"])
def test_filters_change_line_ends_as_the_originals(bin, program):
    for text in [*ENDS, random_lines()]:
        same(bin, program, input=text)
    same(bin, program, "-v", "x", input=b"a\r\n")


@pytest.mark.parametrize("program", ["addcr", "delcr"])
def test_filters_fail_as_the_originals(bin, program):
    for redirect in "<&-", "</", ">/dev/full", ">&-":
        codes = {subprocess.run(["sh", "-c", f"exec {folder / program} {redirect}"], input=b"x\n" * 9999,
                                stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                timeout=20).returncode for folder in (bin, DEBIAN)}
        assert codes == {111}, redirect
    for folder in bin, DEBIAN:
        end, other = os.pipe()
        os.close(end)
        done = subprocess.run([folder / program], input=b"x\n" * 9999, stdout=other, timeout=20)
        os.close(other)
        assert done.returncode == -signal.SIGPIPE


class Talk:
    """A program in a conversation: what we write, and what it has said."""

    def __init__(self, program, *args, **popen):
        self.process = subprocess.Popen(
            [str(program), *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **popen)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def write(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def read(self, want, stream="stdout"):
        fd = getattr(self.process, stream).fileno()
        said = b""
        while len(said) < len(want):
            more = os.read(fd, len(want) - len(said))
            assert more, f"ended after {said!r}"
            said += more
        assert said == want

    def rest(self, stream="stdout"):
        return getattr(self.process, stream).read()


@pytest.mark.parametrize("program,wrote,said,rest", [
    ("addcr", b"ab\ncd", b"ab\r\ncd", b""),
    ("delcr", b"ab\r\nc\r", b"ab\nc", b"\r"),
])
def test_filters_do_not_wait_for_more(bin, program, wrote, said, rest):
    for folder in bin, DEBIAN:
        with Talk(folder / program) as talk:
            talk.write(wrote)
            talk.read(said)
            talk.process.stdin.close()
            assert talk.rest() == rest
            assert talk.process.wait(20) == 0


@pytest.mark.parametrize("args", [
    (), ("no-such-program",), ("-v", "x"), ("sh", "-c", "exit 9"), ("sh", "-c", "kill -9 $$"), ("true",),
    ("false",), ("sh", "-c", "printf 'a\\nb\\r\\nc'; echo x >&2"),
], ids=" ".join)
def test_fixcrio_becomes_the_program(bin, args):
    same(bin, "fixcrio", *args, env={"PATH": "/usr/bin:/bin"})


def test_fixcrio_ends_lines_in_crlf_both_ways(bin):
    for text in [*ENDS, random_lines()]:
        same(bin, "fixcrio", "cat", input=text)
        same(bin, "fixcrio", "od", "-c", input=text)


# ---- recordio ----


def transcript(folder, *args, **popen):
    """(exit code, output, input lines, output lines, other lines)."""
    done = run(folder / "recordio", *args, **popen)
    lines = [re.sub(rb"^\d+(?= [<>] )", b"PID", line) for line in done.stderr.split(b"\n")]
    kinds = [b"PID <", b"PID >"]
    return (done.returncode, done.stdout, *([line for line in lines if line.startswith(kind)]
                                            for kind in kinds),
            sorted(like_theirs(line.decode()) for line in lines if line[:5] not in kinds))


PACKETS = [b"", b"hello\nworld\n", b"hello\nworld", b"\n\n\r\n\0\x01\x7f\x80\xff\t x\n",
           *(b"y" * n + end for n in (255, 256, 257, 512, 1025, 3000) for end in (b"", b"\nabc\n"))]


@pytest.mark.parametrize("text", PACKETS, ids=lambda text: f"{len(text)}")
def test_recordio_shows_what_the_original_shows(bin, text):
    ours = transcript(bin, "cat", input=text)
    assert ours == transcript(DEBIAN, "cat", input=text)
    assert ours[1] == text


@pytest.mark.parametrize("args", [
    (), ("no-such-program",), ("/etc/passwd",), ("-v", "true"), ("true",), ("sh", "-c", "exit 7"),
    ("sh", "-c", "kill -9 $$"), ("sh", "-c", "exec >&-; cat >/dev/null"), ("sh", "-c", "echo x >&2; cat"),
    ("sh", "-c", "echo one; sleep 0.2; printf two"), ("sh", "-c", "(sleep 0.2; echo late) & exit 3"),
], ids=" ".join)
def test_recordio_becomes_the_program(bin, args):
    env = {"PATH": "/usr/bin:/bin"}
    assert transcript(bin, *args, env=env) == transcript(DEBIAN, *args, env=env)


def test_recordio_of_a_program_that_does_not_read(bin):
    """What is read before it ends depends on chance, not how it ends."""
    for folder in bin, DEBIAN:
        code, out, _, lines, _ = transcript(folder, "sh", "-c", "exec <&-; exit 4", input=b"a\n" * 99999)
        assert (code, out) == (4, b"") and lines in ([b"PID > [EOF]"], [])


def test_recordio_names_the_program(bin):
    done = run(bin / "recordio", "sh", "-c", "echo $$")
    pid = done.stdout.strip()
    assert pid + b" > " + pid + b" \n" in done.stderr
    assert pid + b" > [EOF]\n" in done.stderr


def test_recordio_in_pieces_of_a_file(bin, tmp_path):
    """Full reads: lines are cut where the original cuts them."""
    text = b"".join(b"%d:%s\n" % (n, b"x" * (n % 97)) for n in range(9000))
    (tmp_path / "text").write_bytes(text)
    seen = []
    for folder in bin, DEBIAN:
        with (tmp_path / "text").open() as file:
            code, out, came, _, _ = transcript(folder, "cat", stdin=file)
        assert (code, out) == (0, text)
        seen.append(came)
    assert seen[0] == seen[1]


def bytes_of(lines):
    """The bytes that recordio's lines are about."""
    assert lines.pop().endswith(b"[EOF]")
    return b"".join(line[6:-1] + (b"\n" if line.endswith(b" ") else b"") for line in lines)


def test_recordio_loses_and_reorders_nothing(bin):
    text = os.urandom(3_000_000)
    code, out, came, went, other = transcript(bin, "cat", input=text)
    assert (code, out, other) == (0, text, [""])
    assert bytes_of(came) == bytes_of(went) == text


def test_recordio_writes_whole_lines_only(bin):
    """Each write(2) is a packet here: lines of others do not come between."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        process = subprocess.Popen([bin / "recordio", "cat"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=its)
        its.close()
        writer = threading.Thread(target=process.communicate, args=(random_lines(),))
        writer.start()
        packets = list(iter(lambda: ours.recv(100000), b""))
        writer.join()
    assert process.returncode == 0
    assert all(packet.endswith(b"\n") and len(packet) <= 4096 for packet in packets)
    assert all(re.match(rb"\d+ [<>] ", line) for packet in packets
               for line in packet[:-1].split(b"\n"))


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_do_not_wait_for_more(bin, program):
    for folder in bin, DEBIAN:
        with Talk(folder / program, "cat") as talk:
            pid = talk.process.pid
            for text in b"ab", b"c\r\n", b"d":
                talk.write(text)
                if program == "recordio":
                    line = text[:-1] + b" " if text.endswith(b"\n") else text + b"+"
                    talk.read(b"%d < %s\n%d > %s\n" % (pid, line, pid, line), "stderr")
                talk.read(text)


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_end_with_the_program(bin, program):
    """Though there is more to read, and nobody says that there is not."""
    for folder in bin, DEBIAN:
        with Talk(folder / program, "sh", "-c", "echo bye; exit 3") as talk:
            assert talk.rest().strip() == b"bye"
            assert talk.process.wait(20) == 3
            if program == "recordio":
                assert talk.rest("stderr").endswith(b"> [EOF]\n")


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_end_when_nobody_takes_the_output(bin, program):
    for folder in bin, DEBIAN:
        with Talk(folder / program, "sh", "-c", "while echo x; do sleep 0.01; done") as talk:
            talk.process.stdout.close()
            assert talk.process.wait(20) == -signal.SIGPIPE
            with pytest.raises(BrokenPipeError):
                while True:  # nobody reads our input any more, either
                    talk.write(b"x" * 4096)


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_keep_the_output_of_a_program_that_stops_reading(bin, program):
    """The original's ends at the next input, and the program with it."""
    script = ("import os, signal\nos.close(0)\nprint('closed', flush=True)\n"
              "signal.sigwait({signal.SIGUSR1})\nprint('more', flush=True)")
    with Talk(bin / program, "/usr/bin/python3", "-c", script,
              preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})) as talk:
        end = b"\r\n" if program == "fixcrio" else b"\n"
        talk.read(b"closed" + end)
        with pytest.raises(BrokenPipeError):
            while True:
                talk.write(b"x")
                time.sleep(0.001)
        talk.process.send_signal(signal.SIGUSR1)
        talk.read(b"more" + end)
        assert talk.process.wait(20) == 0


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_go_both_ways_at_once(bin, program):
    """The program writes all before it reads, and so do we."""
    count = 1_000_000
    script = (f"import os, sys\nsys.stdout.write('o' * {count}); sys.stdout.flush()\n"
              f"print(len(sys.stdin.read()))")
    for folder in bin, DEBIAN:
        done = run(folder / program, "/usr/bin/python3", "-c", script, input=b"i" * count)
        assert done.stdout.split() == [b"o" * count + b"%d" % count]


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_and_a_half_closed_connection(bin, program):
    for folder in bin, DEBIAN:
        ours, its = socket.socketpair()
        with ours:
            process = subprocess.Popen([folder / program, "sh", "-c", "wc -c; echo bye"], stdin=its,
                                       stdout=its, stderr=subprocess.DEVNULL)
            its.close()
            ours.settimeout(20)
            ours.sendall(b"x" * 100_000)
            ours.shutdown(socket.SHUT_WR)
            assert read_all(ours).split() == [b"100000", b"bye"]
            assert process.wait(20) == 0


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_and_a_connection_that_breaks(bin, program, peers):
    """A reset is the end of the input."""
    def reset(connection):
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with socket.create_connection(("127.0.0.1", peers(reset).port)) as mine:
        process = subprocess.Popen([bin / program, "sh", "-c", "echo x; cat >/dev/null; exit 5"],
                                   stdin=mine, stdout=mine, stderr=subprocess.DEVNULL)
        assert process.wait(20) == 5


def test_recordio_whose_log_cannot_be_written(bin):
    end, other = os.pipe()
    os.close(end)
    with open("/dev/full", "w") as full:
        for stderr in other, full:
            for folder in bin, DEBIAN:
                done = subprocess.run([folder / "recordio", "cat"], input=b"abc\n" * 10000,
                                      stdout=subprocess.PIPE, stderr=stderr, timeout=20)
                assert (done.returncode, done.stdout) == (0, b"abc\n" * 10000)
    os.close(other)


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_are_a_child_with_few_descriptors(bin, program):
    end, other = os.pipe()
    with Talk(bin / program, "cat", pass_fds=(end,)) as talk:
        pid = talk.process.pid
        talk.write(b"x")
        talk.read(b"x")  # both have begun
        [child] = processes.children(pid)
        relay = sorted(map(int, os.listdir(f"/proc/{child}/fd")))
        assert relay[:3] == [0, 1, 2] and len(relay) == 5 and end not in relay
        assert sorted(map(int, os.listdir(f"/proc/{pid}/fd"))) == [0, 1, 2, end]
        talk.process.stdin.close()
        talk.rest()
        assert talk.process.wait(20) == 0
    os.close(end)
    os.close(other)


@pytest.fixture
def filtered(bin):
    """The programs, if they have filters: sanitizers cannot live with one."""
    if b"__asan_init" in (bin / "recordio").read_bytes():
        pytest.skip("sanitizer builds have no filter")
    return bin


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_are_in_a_sandbox_and_their_programs_are_not(filtered, program):
    with Talk(filtered / program, "cat") as talk:
        [child] = wait_for(lambda: processes.children(talk.process.pid), what="the relay")
        wait_for(lambda: processes.status(child)["Seccomp"] == "2", what="the filter")
        confined, free = processes.status(child), processes.status(talk.process.pid)
        assert confined["NoNewPrivs"] == "1" and int(confined["CapEff"], 16) == 0
        assert (free["NoNewPrivs"], free["Seccomp"]) == \
            (processes.status("self")["NoNewPrivs"], processes.status("self")["Seccomp"])


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
@pytest.mark.parametrize("what", ["exec", "ptrace", "netlink", "inet", "open", "create", "fork", "map"])
def test_relays_try_what_is_forbidden(filtered, program, what):
    """Where they are not killed for it, they go on."""
    done = run(filtered / program, "cat", input=b"x\n",
               env={"PATH": "/usr/bin:/bin", "VALIJA_TEST_STRICT": "1", "VALIJA_TEST_FORBIDDEN": what})
    if what in ("exec", "ptrace", "netlink", "inet"):
        assert done.stdout == b""
    else:
        assert done.stdout.strip() == b"x"
        assert done.stderr.startswith(b"%s: " % program.encode()), done.stderr


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_pass_signals_on(bin, program):
    def before():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    said = {run(folder / program, "grep", "^Sig[IB]", "/proc/self/status", preexec_fn=before,
                restore_signals=False).stdout for folder in (bin, DEBIAN)}
    assert len(said) == 1


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
def test_relays_are_not_stopped_by_signals(bin, program):
    with Talk(bin / program, "cat") as talk:
        [child] = wait_for(lambda: processes.children(talk.process.pid), what="the relay")
        for _ in range(50):
            talk.write(b"x")
            for number in signal.SIGWINCH, signal.SIGSTOP, signal.SIGCONT:
                os.kill(child, number)
            talk.read(b"x")


@pytest.mark.parametrize("program", ["recordio", "fixcrio"])
@pytest.mark.parametrize("limit", range(3, 7))
def test_relays_with_too_few_descriptors_say_so(bin, program, limit):
    done = run(bin / program, "true",
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert done.returncode == 111
    assert done.stderr == b"%s: fatal: unable to create pipe: Too many open files\n" % program.encode()


def test_relays_have_descriptors_0_to_2(bin):
    # The original leaves them closed.
    for program in "recordio", "fixcrio":
        done = run("/usr/bin/python3", "-c", "import os\nfor fd in 0, 1, 2: os.close(fd)\n"
                   f"os.execv({str(bin / program)!r}, ['x', 'sh', '-c', 'cat && [ -e /proc/$$/fd/2 ]'])")
        assert done.returncode == 0


# ---- mconnect, tcpcat and the others that are scripts ----


NASTY = b"a\r\nb\rc\n\x01\x1b[1m\x7f\x80\xff\t\0e\\^M-\xe9\r\r\nend"


def test_tcpcat_prints_what_comes(bin, peers, free_port):
    text = NASTY + os.urandom(100_000)
    peer = peers(lambda c: c.sendall(text))
    assert same(bin, "tcpcat", "127.0.0.1", peer.port).stdout == text
    assert same(bin, "tcpcat", "", peer.port, "more").stdout == text
    assert same(bin, "tcpcat", "127.0.0.1", free_port).returncode == 111
    assert same(bin, "tcpcat", "127.0.0.1", "no-such-port").returncode == 111
    peer = peers(lambda c: c.sendall(b"six"), host="::1", family=socket.AF_INET6)
    assert run(bin / "tcpcat", "::1", peer.port).stdout == b"six"


@pytest.mark.parametrize("text", [b"helo\nquit\n", b"helo\r\nquit\n", b"\nquit\n", b"quit\n" + b"x" * 50000 + b"\n"],
                         ids=lambda text: f"{text[:12]}")
def test_mconnect_sends_crlf(bin, peers, text):
    heard = []

    def talk(connection):
        said = b""
        while b"quit\r\n" not in said or not said.endswith(b"\n"):
            said += connection.recv(65536)
        heard.append(said)
        connection.sendall(NASTY)

    port = peers(talk).port
    assert same(bin, "mconnect", "127.0.0.1", port, input=text).stdout == NASTY
    assert heard == [text.replace(b"\n", b"\r\n")] * 2


def test_mconnect_is_told_when_there_is_no_server(bin, free_port):
    assert same(bin, "mconnect", "127.0.0.1", free_port).returncode == 111


def test_mconnect_ends_with_the_server_only(bin, peers):
    """Not with what is typed, but with the server, whatever is typed then."""
    go = threading.Event()

    def talk(connection):
        connection.sendall(b"220 hello\r\n")
        connection.recv(100)
        go.wait(20)
        connection.sendall(b"221 bye\r\n")

    port = peers(talk).port
    for folder in bin, DEBIAN:
        for closes in True, False:
            go.clear()
            with Talk(folder / "mconnect", "127.0.0.1", port) as talk_:
                talk_.read(b"220 hello\r\n")
                talk_.write(b"quit\n")
                if closes:
                    talk_.process.stdin.close()
                go.set()
                assert talk_.rest() == b"221 bye\r\n"
                assert talk_.process.wait(20) == 0


def mconnect_io(folder, **popen):
    """It, and the other end of its connection."""
    ours, its = socket.socketpair()
    fd = its.fileno()
    script = f"exec {folder / 'mconnect-io'} 6<&{fd} 7>&{fd} {fd}<&-"
    talk = Talk("/bin/bash", "-c", script, pass_fds=(fd,), **popen)
    its.close()
    ours.settimeout(20)
    return ours, talk


def test_mconnect_io_does_not_wait_for_more(bin):
    for folder in bin, DEBIAN:
        ours, talk = mconnect_io(folder)
        with ours, talk:
            for said, heard in (b"he", b"he"), (b"lo\nx\r\n", b"lo\r\nx\r\r\n"):
                talk.write(said)
                got = b""
                while len(got) < len(heard):
                    got += ours.recv(100)
                assert got == heard
            ours.sendall(b"22")
            talk.read(b"22")
            ours.sendall(b"0\r\n\0")
            talk.read(b"0\r\n\0")
            ours.shutdown(socket.SHUT_WR)
            assert talk.process.wait(20) == 0


def test_mconnect_io_and_a_server_that_does_not_read(bin):
    for folder in bin, DEBIAN:
        ours, talk = mconnect_io(folder)
        with ours, talk:
            ours.shutdown(socket.SHUT_RD)
            talk.write(b"x\n")
            ours.sendall(b"still there\n")
            talk.read(b"still there\n")
            ours.close()
            assert talk.process.wait(20) == 0


def test_mconnect_io_ends_when_nobody_takes_its_output(bin):
    # The original stays.
    ours, talk = mconnect_io(bin)
    with ours, talk:
        talk.process.stdout.close()
        ours.sendall(b"x")
        assert talk.process.wait(20) == 0


@pytest.mark.parametrize("redirect", [
    "6<&- 7>&-", "0<&- 6</dev/null 7>/dev/full", "6</ 7>/dev/null", "6</dev/null 7>/dev/null",
    "6</etc/hostname 7>/dev/full", "6</etc/hostname 7>/dev/null >/dev/full"])
def test_mconnect_io_does_not_complain(bin, redirect):
    codes = {run("sh", "-c", f"exec {folder / 'mconnect-io'} {redirect}", input=b"abc\n").returncode
             for folder in (bin, DEBIAN)}
    assert codes == {0}


@pytest.mark.parametrize("page,reply", [
    ((), b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nbody\r\nl\x012\r\nz"),
    (("page?x=y&z",), b"HTTP/1.0 200 OK\r\n\r\n" + b"long\r\n" * 30000),
    (("a b",), b"HTTP/1.0 200 OK\r\nX: \x80\r\n\r\n\xff\xfe\r\r\nx\n"),
    (("/x%s",), b"\r\nnothing before\r\n"), (("",), b"no blank line\r\n"), (("x", "more"), b""),
    (("x",), b"HTTP/1.0 200 OK\n\nbare\n"),
], ids=lambda value: f"{value[:1]}"[:20])
def test_http_gets_a_page(bin, peers, page, reply):
    heard = []

    def talk(connection):
        said = b""
        while not said.endswith(b"\n\r\n"):
            said += connection.recv(65536)
        heard.append(said)
        connection.sendall(reply)

    port = peers(talk).port
    args = ("127.0.0.1", page[0] if page else "", port, *page[1:])
    same(bin, "http@", *args)
    assert heard[0] == heard[1]


def test_http_keeps_empty_lines(bin, peers):
    # The original drops them.
    port = peers(lambda c: c.recv(9) and c.sendall(b"HTTP/1.0 200 OK\r\n\r\na\r\n\r\n\nb")).port
    assert run(bin / "http@", "127.0.0.1", "", port).stdout == b"a\n\n\nb\n"


def test_scripts_find_their_programs_beside_themselves(bin, peers, tmp_path):
    """Through links, from anywhere, with no such program in PATH."""
    for name in "tcpcat", "who@":
        (tmp_path / name).symlink_to(bin / name)
    port = peers(lambda c: c.sendall(b"x")).port
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in "sh", "readlink", "cat":
        (programs / name).symlink_to(shutil.which(name))
    for env in {"PATH": str(programs)}, {"PATH": f"{programs}:{tmp_path}"}, {}:
        done = subprocess.run([tmp_path / "tcpcat", "127.0.0.1", str(port)], env=env, cwd="/",
                              capture_output=True, timeout=20)
        assert (done.stdout, done.stderr) == (b"x", b"")


# Ports below 1024 are ours only in a network of its own.
SERVE = r"""
import json, socket, subprocess, sys, threading

NASTY = %r
heard = []

def serve(port):
    listening = socket.create_server(("127.0.0.1", port))
    while True:
        c = listening.accept()[0]
        c.settimeout(20)
        said = b""
        if port in (25, 79):
            while not said.endswith(b"\r\n"):
                said += c.recv(1000)
        elif port == 80:
            while not said.endswith(b"\n\r\n"):
                said += c.recv(1000)
        heard.append(port)
        heard.append(said.decode("latin1"))
        c.sendall(b"HTTP/1.0 200\r\n\r\n" + NASTY if port == 80 else NASTY)
        c.close()

for port in 11, 13, 17, 25, 79, 80:
    threading.Thread(target=serve, args=(port,), daemon=True).start()

results = []
for args in json.loads(sys.argv[2]):
    heard.clear()
    done = subprocess.run([sys.argv[1] + "/" + args[0], *args[1:]], input=b"quit\n",
                          capture_output=True, timeout=50)
    results.append([args, done.returncode, done.stdout.decode("latin1"),
                    done.stderr.decode(), list(heard)])
print(json.dumps(results))
""" % NASTY


def in_a_network_of_its_own(folder, cases, tmp_path):
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    done = run(*unshare, "sh", "-c", 'ip link set lo up && exec /usr/bin/python3 "$@"', "sh", script,
               folder, json.dumps(cases))
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_scripts_say_and_ask_what_the_originals_do(bin, tmp_path):
    if not shutil.which("unshare"):
        pytest.fail("unshare is needed")
    cases = [[name, *args] for name in ("who@", "date@") for args in ((), ("127.0.0.1",), ("0", "x"), ("",),
                                                                     ("127.0.0.3",))]
    cases += [["finger@", *args] for args in ((), ("0",), ("127.0.0.1", "joe"), ("", "joe b"),
                                              ("127.0.0.1", "%s*"), ("0", "a", "b"), ("127.0.0.3",))]
    cases += [["http@", *args] for args in ((), ("127.0.0.1",), ("0", "x"), ("", "x"), ("127.0.0.3",))]
    cases += [["tcpcat"], ["tcpcat", "0"], ["mconnect"], ["mconnect", "127.0.0.1"]]
    ours = in_a_network_of_its_own(bin, cases, tmp_path)
    theirs = in_a_network_of_its_own(DEBIAN, cases, tmp_path)
    for mine, other in zip(ours, theirs):
        mine[3] = like_theirs(mine[3])
        assert mine == other
    assert ours[0][2] == "a\nb^Mc\n^A^[[1m^?M-^@M-^?\t^@e\\^M-M-i^M\nend"


def test_finger_sends_a_name_as_it_is(bin, tmp_path):
    # The original's echo takes -n and backslashes for its own.
    [done] = in_a_network_of_its_own(bin, [["finger@", "0", r"-n\n%d"]], tmp_path)
    assert done[4] == [79, "-n\\n%d\r\n"]
