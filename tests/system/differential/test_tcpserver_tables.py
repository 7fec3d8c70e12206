"""tcpserver beside Debian's: environment, rule choice and log for a table of
addresses, every option, and names and users as a network has them."""

import os
import random
import re
import socket
import subprocess

import pytest

import processes
from daemontools import DEBIAN, run
from seeds import few, many
from waiting import wait_for

# The system's words for an errno as djb's.
REASONS = {"No such file or directory": "file does not exist",
           "Permission denied": "access denied", "Address already in use": "address already used",
           "Cannot assign requested address": "address not available"}

RULES = """\
127.0.0.1:allow,RULE="one"
127.0.0.2-5:allow,RULE="two to five",OTHER=""
127.0.1.:allow,RULE="prefix of three"
127.0.1.7:deny,RULE="denied"
127.0.1.8:allow,TCPREMOTEIP="forged",PATH="/bin"
127.1.:allow,RULE="prefix of two",RELAYCLIENT=""
127.2-3.:deny
127.3.3.3:allow,RULE=/a"b=c,d/
127.0.0.9:allow
127.0.0.9:deny
=h.example:deny
joe@127.0.0.1:deny
:allow,RULE="none of them"
"""
ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.5", "127.0.0.6", "127.0.0.9", "127.0.1.1",
             "127.0.1.7", "127.0.1.8", "127.0.1.255", "127.0.10.1", "127.1.0.1", "127.1.255.254",
             "127.2.0.1", "127.3.9.9", "127.3.3.3", "127.4.0.1", "127.255.255.254"]


class Server:
    """A tcpserver; the port is the one that -1 prints."""

    def __init__(self, folder, log, *args, port="0", **popen):
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [folder / "tcpserver", "-1", *map(str, args[:-1]), "127.0.0.1", port, *args[-1]],
                stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, **popen)
        self.port = int(self.process.stdout.readline())

    def talk(self, source, send=b""):
        with socket.create_connection(("127.0.0.1", self.port), 20, (source, 0)) as s:
            s.sendall(send)
            said = b""
            try:
                while chunk := s.recv(65536):
                    said += chunk
            except ConnectionResetError:
                said += b"[reset]"
            return said

    def wait_ends(self, count):
        """Until it says so (-v): each connection has two lines of status, and
        there was one before."""
        wait_for(lambda: len(re.findall(r"^tcpserver: status: ", self.log.read_text(), re.M))
                 > 2 * count, 20, f"{count} ends")

    def lines(self):
        """Its log, without what differs from run to run: numbers, and which
        of two processes comes first with its line."""
        text = re.sub(r"\b(pid|ok|deny|end) \d+", r"\1 N", self.log.read_text())
        text = text.replace(f":{self.port} ", ":PORT ").replace(f"/{self.port}", "/PORT")
        for ours, theirs in REASONS.items():
            text = text.replace(ours, theirs)
        return sorted(re.sub(r":\d+$", ":RPORT", text, flags=re.M).lower().splitlines())

    def close(self):
        self.process.terminate()
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(folder, *args, **kw):
        servers.append(Server(folder, tmp_path / f"log{len(servers)}", *args, **kw))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def compiled(text, cdb):
    subprocess.run([DEBIAN / "tcprules", cdb, f"{cdb}.tmp"], input=text.encode(), check=True)
    return cdb


def environment(said):
    """Without what differs from run to run."""
    pairs = dict(line.split(b"=", 1) for line in said.split(b"\0") if line)
    for name in (b"TCPLOCALPORT", b"TCPREMOTEPORT"):
        if name in pairs:
            assert int(pairs.pop(name)) > 0
    return pairs


def test_environment_rule_and_log_for_a_table_of_addresses(bin, tmp_path, serve):
    cdb = compiled(RULES, tmp_path / "cdb")
    env = {"PATH": "/usr/bin:/bin", "KEPT": "1", "TCPREMOTEHOST": "old", "TCPREMOTEINFO": "old",
           "TCPLOCALHOST": "old", "TCPREMOTEIP": "old", "PROTO": "old"}
    servers = [serve(folder, "-vHRlLocal", "-x", cdb, ["/usr/bin/env", "-0"], env=env)
               for folder in (bin, DEBIAN)]
    for number, address in enumerate(ADDRESSES):
        ours, theirs = (environment(server.talk(address)) for server in servers)
        assert ours == theirs, address
        for server in servers:
            server.wait_ends(number + 1)
        # What the checker says is what the server does.
        said = run(bin / "tcprulescheck", cdb, env={"TCPREMOTEIP": address}).stdout
        assert (b"deny" in said) == (not ours), address
        for name, value in re.findall(rb"^set environment variable (\w+)=(.*)$", said, re.M):
            assert ours[name] == value
    assert servers[0].lines() == servers[1].lines()


def test_the_environment_is_complete(bin, serve):
    """Each variable by its name, for both kinds of addresses."""
    env = {"PATH": "/usr/bin:/bin", "TCPREMOTEHOST": "old", "TCPREMOTEINFO": "old"}
    server = serve(bin, "-HRlLocal", ["/usr/bin/env", "-0"], env=env)
    seen = dict(pair.split("=", 1) for pair in server.talk("127.0.0.3").decode().split("\0") if pair)
    assert seen.pop("TCPREMOTEPORT").isdigit()
    assert seen == {"PATH": "/usr/bin:/bin", "PROTO": "TCP", "TCPLOCALIP": "127.0.0.1",
                    "TCPLOCALPORT": str(server.port), "TCPLOCALHOST": "Local",
                    "TCPREMOTEIP": "127.0.0.3"}


def test_rules_that_set_a_variable(bin, tmp_path, serve):
    """As the manual page has it; both checkers say so, and exit 0."""
    cdb = tmp_path / "cdb"
    for folder in bin, DEBIAN:
        done = run(folder / "tcprules", cdb, tmp_path / "tmp",
                   input=b'127.0.0.1:allow,VAR="x"\n127.0.0.2:allow,VAR=|"|\n:deny\n')
        assert done.returncode == 0
        for address, value in ("127.0.0.1", b"x"), ("127.0.0.2", b'"'):
            said = {run(checker / "tcprulescheck", cdb, env={"TCPREMOTEIP": address}, check=True).stdout
                    for checker in (bin, DEBIAN)}
            assert said == {b"rule %s:\nset environment variable VAR=%s\nallow connection\n" %
                            (address.encode(), value)}
            assert serve(folder, "-HRl0", "-x", cdb, ["printenv", "VAR"]).talk(address) == value + b"\n"


@pytest.mark.parametrize("seed", few(4) + many(300))
def test_random_rules_choose_the_same(bin, tmp_path, serve, seed):
    rng = random.Random(seed)

    def octet():
        return rng.choice([0, 1, 2, 255])

    lines = []
    for n in range(rng.randrange(1, 12)):
        address = rng.choice([f"127.{octet()}.{octet()}.{octet()}", f"127.{octet()}.{octet()}.",
                              f"127.{octet()}.", "127.", "", f"127.{octet()}.0-{octet()}.",
                              f"127.0.0.{octet()}-{octet()}", "=", "joe@127.0.0.1"])
        lines.append(rng.choice([f'{address}:allow,N="{n}"', f"{address}:deny"]))
    print("\n".join(lines))
    cdb = compiled("\n".join(lines) + "\n", tmp_path / "cdb")
    servers = [serve(folder, "-HRl0", "-x", cdb, ["printenv", "N", "TCPREMOTEIP"])
               for folder in (bin, DEBIAN)]
    for _ in range(12):
        address = f"127.{octet()}.{octet()}.{rng.choice([1, 2, 254])}"
        assert servers[0].talk(address) == servers[1].talk(address), address


# ---- options, one by one ----

SHOW = ["/usr/bin/python3", "-c", """
import os, socket
s = socket.socket(fileno=0)
print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
      s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
      s.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40), os.get_blocking(0),
      os.fstat(0).st_ino == os.fstat(1).st_ino, sorted(map(int, os.listdir("/proc/self/fd")))[:4],
      sorted(name for name in os.environ if name.startswith("TCP")))
"""]


def ip_options(server):
    """What the program sees of IP options that a client sends (a route)."""
    with socket.socket() as s:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([7, 7, 4, 0, 0, 0, 0, 0]))
        s.settimeout(20)
        s.connect(("127.0.0.1", server.port))
        said = b""
        while chunk := s.recv(65536):
            said += chunk
        return re.search(rb" b'(.*?)' ", said)[1]


def test_ip_options_are_cleared_unless_o(bin, serve):
    """The original's -O, its default too, does nothing on Linux."""
    assert ip_options(serve(bin, "-oHRl0", SHOW)) == ip_options(serve(DEBIAN, "-oHRl0", SHOW)) != b""
    for options in "-HRl0", "-OHRl0", "-oOHRl0":
        assert ip_options(serve(bin, options, SHOW)) == b"", options


@pytest.mark.parametrize("options", [
    "-dHRl0", "-DHRl0", "-oHRl0", "-OHRl0", "-DdHRl0", "-oOHRl0", "-HRl0", "-PHRl0", "-hHRl0",
    "-rRHl0", "-pHRl0", "-XHRl0", "-t5HRl0", "-b1HRl0", "-c1HRl0", "-qHRl0", "-QHRl0",
    "-qvHRl0", "-vQHRl0",
])
def test_each_option_has_the_effect_of_the_original(bin, serve, options):
    if options == "-t5HRl0":
        options = "-HRl0t5"
    options = re.sub(r"^-([bc])1(.*)$", r"-\2 -\g<1>1", options).split()
    servers = [serve(folder, *options, SHOW) for folder in (bin, DEBIAN)]
    ours, theirs = (server.talk("127.0.0.3") for server in servers)
    assert ours == theirs and b"TCPREMOTEIP" in ours
    for server in servers:
        if re.match("-[^qQ]*q?v[^qQ]*$", options[0]):
            server.wait_ends(1)
        server.close()
    assert servers[0].lines() == servers[1].lines()


def test_the_banner_comes_before_the_rules_decide(bin, tmp_path, serve):
    cdb = compiled("127.0.0.9:deny\n:allow\n", tmp_path / "cdb")
    for source, want in ("127.0.0.1", b"220 hi\r\nserved\n"), ("127.0.0.9", b"220 hi\r\n"):
        said = {serve(folder, "-HRl0", "-B", "220 hi\r\n", "-x", cdb, ["echo", "served"])
                .talk(source) for folder in (bin, DEBIAN)}
        assert said == {want}


@pytest.mark.parametrize("backlog", [1, 7, 100])
def test_the_backlog_is_what_the_system_is_told(bin, serve, backlog):
    shown = set()
    for folder in bin, DEBIAN:
        server = serve(folder, "-HRl0", "-b", backlog, ["true"])
        lines = run("ss", "-Hlnt", f"sport = :{server.port}", text=True).stdout
        shown.add(lines.split()[2])
    assert shown == {str(backlog)}


def test_rules_are_read_anew_for_each_connection(bin, tmp_path, serve):
    cdb = tmp_path / "cdb"
    servers = [serve(folder, "-vHRl0", "-x", cdb, ["printenv", "N"]) for folder in (bin, DEBIAN)]
    answers = []
    for number, text in enumerate((None, ':allow,N="1"\n', ':allow,N="2"\n', ":deny\n", "broken",
                                   "", ':allow,N="3"\n')):
        if text == "broken":
            cdb.write_bytes(b"x" * 2500)
        elif text is not None:
            compiled(text, cdb)
        ours, theirs = (server.talk("127.0.0.1") for server in servers)
        if text != "":  # no rules, nothing to print
            assert ours == theirs, text
            answers.append(ours)
        for server in servers:
            server.wait_ends(number + 1)
    assert answers == [b"", b"1\n", b"2\n", b"", b"", b"3\n"]


@pytest.mark.parametrize("program, status", [
    (["true"], 0), (["false"], 256), (["sh", "-c", "exit 100"], 25600),
    (["sh", "-c", "kill -9 $$"], 9), (["no-such-program"], 28416),
])
def test_the_log_tells_how_the_program_ended(bin, serve, program, status):
    servers = [serve(folder, "-vHRl0", program, env={"PATH": "/usr/bin:/bin"})
               for folder in (bin, DEBIAN)]
    for server in servers:
        server.talk("127.0.0.1")
        server.wait_ends(1)
        assert f"end n status {status}" in "\n".join(server.lines())
    assert servers[0].lines() == servers[1].lines()


OUR_OPTIONS = "[ -C limit ] [ -M limit/bits/bits6 ] [ -F proxies ] "


@pytest.mark.parametrize("args", [
    (), ("-1",), ("127.0.0.1",), ("127.0.0.1", "0"), ("-Z", "127.0.0.1", "0", "true"),
    ("-HRl0", "127.0.0.1", "no-such-port", "true"), ("-HRl0", "192.0.2.1", "0", "true"),
    ("-qHRl0", "192.0.2.1", "0", "true"), ("-QHRl0", "192.0.2.1", "0", "true"),
], ids=" ".join)
def test_it_refuses_to_start_as_the_original(bin, args):
    ours, theirs = (run(folder / "tcpserver", *args) for folder in (bin, DEBIAN))
    assert ours.returncode == theirs.returncode and ours.returncode in (100, 111)
    assert bool(ours.stderr) == bool(theirs.stderr)
    # The original has neither limits of one client nor proxies.
    text = ours.stderr.decode().replace(OUR_OPTIONS, "")
    for our_words, their_words in REASONS.items():
        text = text.replace(our_words, their_words)
    assert text.splitlines()[-1:] == theirs.stderr.decode().splitlines()[-1:]


@pytest.mark.root
@pytest.mark.parametrize("options", [("-u", "1234"), ("-g", "4321"), ("-u1234", "-g4321"), ("-U",)],
                         ids=" ".join)
def test_users_and_groups_are_those_of_the_original(bin, serve, options):
    show = ["grep", "-E", "^(Uid|Gid):", "/proc/self/status"]
    env = {**os.environ, "UID": "1234", "GID": "4321"}
    ours, theirs = (serve(folder, "-HRl0", *options, show, env=env).talk("127.0.0.1")
                    for folder in (bin, DEBIAN))
    assert ours == theirs and (b"1234" in ours or b"4321" in ours)


def test_so_many_at_a_time_and_the_rest_waits(bin, serve):
    """The same number is served, and the same line says so."""
    for folder in bin, DEBIAN:
        server = serve(folder, "-vHRl0", "-c3", ["sh", "-c", "echo in; read x"])
        ends = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(5)]
        for end in ends[:3]:
            assert end.recv(3) == b"in\n"
        wait_for(lambda: "tcpserver: status: 3/3" in server.lines(), 20, "the limit")
        assert len(processes.children(server.process.pid)) == 3
        for end in ends[:2]:
            end.sendall(b"\n")
        for end in ends[3:]:
            assert end.recv(3) == b"in\n"
        for end in ends:
            end.close()
        server.wait_ends(5)
        assert "4/3" not in "\n".join(server.lines())
