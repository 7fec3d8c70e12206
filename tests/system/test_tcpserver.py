"""tcpserver, tcprules and tcprulescheck, beside those of ucspi-tcp 0.88."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import processes
from tcpservers import DEBIAN, compile_rules, cpu_seconds, serve  # noqa: F401
from waiting import wait_for

RULES = """\
# relay clients
joe@127.0.0.1:allow,WHO="joe"
joe@=h.example:allow,WHO="joe at h"
18.23.0.32:deny
127.:allow,RELAYCLIENT="",TCPLOCALHOST="movie.example"
127.0.0.9:deny,X="1"
1.2.3.37-39:allow,A=/x"y/
10.2-3.:deny
1.2.9-7:deny
=h.example:allow,H="1"
=.example:deny
=:allow,E="any name"
:allow,D="last"
"""

PEERS = [
    {},
    {"TCPREMOTEIP": "127.0.0.1"},
    {"TCPREMOTEIP": "127.0.0.1", "TCPREMOTEINFO": "joe"},
    {"TCPREMOTEIP": "127.0.0.1", "TCPREMOTEINFO": "bill"},
    {"TCPREMOTEIP": "127.0.0.9"},
    {"TCPREMOTEIP": "18.23.0.32"},
    {"TCPREMOTEIP": "1.2.3.36"},
    {"TCPREMOTEIP": "1.2.3.37"},
    {"TCPREMOTEIP": "1.2.3.39"},
    {"TCPREMOTEIP": "1.2.3.40"},
    {"TCPREMOTEIP": "10.2.0.1"},
    {"TCPREMOTEIP": "10.4.0.1"},
    {"TCPREMOTEIP": "9.9.9.9", "TCPREMOTEHOST": "h.example"},
    {"TCPREMOTEIP": "9.9.9.9", "TCPREMOTEHOST": "a.b.example"},
    {"TCPREMOTEIP": "9.9.9.9", "TCPREMOTEHOST": "example"},
    {"TCPREMOTEIP": "9.9.9.9", "TCPREMOTEHOST": "h.example",
     "TCPREMOTEINFO": "joe"},
    {"TCPREMOTEIP": "9.9.9.9", "TCPREMOTEHOST": ""},
]


def check_rules(program, path, peer):
    env = {k: v for k, v in os.environ.items() if not k.startswith("TCP")}
    return subprocess.run([program, path], env={**env, **peer},
                          capture_output=True, text=True)


def records(path):
    data = path.read_bytes()
    at, end = 2048, struct.unpack("<I", data[:4])[0]
    found = []
    while at < end:
        key, value = struct.unpack("<II", data[at:at + 8])
        at += 8
        found.append((data[at:at + key], data[at + key:at + key + value]))
        at += key + value
    return found


# ---- rules ----


def test_cdb_is_byte_for_byte_the_one_of_ucspi_tcp(bin, tmp_path):
    assert compile_rules(bin / "tcprules", tmp_path / "our", RULES
                         ).returncode == 0
    assert compile_rules(DEBIAN / "tcprules", tmp_path / "their", RULES
                         ).returncode == 0
    assert (tmp_path / "our").read_bytes() == (tmp_path / "their").read_bytes()


@pytest.mark.parametrize("peer", PEERS, ids=str)
def test_both_checkers_say_the_same_of_both_files(bin, tmp_path, peer):
    answers = set()
    for compiler in bin / "tcprules", DEBIAN / "tcprules":
        compile_rules(compiler, tmp_path / "cdb", RULES)
        for checker in bin / "tcprulescheck", DEBIAN / "tcprulescheck":
            done = check_rules(checker, tmp_path / "cdb", peer)
            answers.add((done.returncode, done.stdout))
    assert len(answers) == 1, answers


@pytest.mark.parametrize("line", [
    "1.2.3.4:first", "1.2.3.4:allowX", ":allow,", ":allow,A", ":allow,A=",
    ':allow,A="x', ':allow,A="x"B="y"', "x-y:deny", "1.2.3.4-5-6:deny",
])
def test_a_bad_line_leaves_the_old_file(bin, tmp_path, line):
    cdb = tmp_path / "cdb"
    for program in bin / "tcprules", DEBIAN / "tcprules":
        cdb.write_bytes(b"old")
        done = compile_rules(program, cdb, f":allow\n{line}\n")
        assert done.returncode == 100
        assert b"unable to parse this line: " + line.encode() in done.stderr
        assert cdb.read_bytes() == b"old"
        (tmp_path / "cdb.tmp").unlink(missing_ok=True)


def test_our_failed_compiler_leaves_no_temporary_file(bin, tmp_path):
    compile_rules(bin / "tcprules", tmp_path / "cdb", "x-y:deny\n")
    assert os.listdir(tmp_path) == []


def test_an_unwritable_directory_is_temporary(bin, tmp_path):
    done = compile_rules(bin / "tcprules", tmp_path / "none/cdb", RULES)
    assert done.returncode == 111
    assert b"tcprules: fatal: unable to create " in done.stderr


@pytest.mark.parametrize("program", ["tcprules", "tcprulescheck", "tcpserver"])
def test_misuse_is_permanent_and_shows_the_usage(bin, program):
    our = subprocess.run([bin / program], capture_output=True, text=True)
    their = subprocess.run([DEBIAN / program], capture_output=True, text=True)
    assert our.returncode == their.returncode == 100
    ours = re.sub(r"\[ -C .* -F \w+ \] ", "", our.stderr)
    assert ours == their.stderr


def test_longer_networks_win_whatever_their_order(bin, tmp_path):
    cdb = tmp_path / "cdb"
    rules = ('10.0.0.0/9:allow,N="9"\n10.64.0.0/10:allow,N="10"\n'
             '10.64.0.7/32:allow,N="32"\n10.64.3.0/24:allow,N="24"\n'
             '0.0.0.0/0:allow,N="0"\n')
    assert compile_rules(bin / "tcprules", cdb, rules).returncode == 0
    for ip, length in ("10.1.1.1", 9), ("10.64.1.1", 10), \
            ("10.64.0.7", 32), ("10.64.3.9", 24), ("99.1.1.1", 0):
        # Networks compile to plain prefixes: ucspi-tcp can read them.
        for checker in bin / "tcprulescheck", DEBIAN / "tcprulescheck":
            said = check_rules(checker, cdb, {"TCPREMOTEIP": ip}).stdout
            assert f"N={length}\n" in said


def test_ipv6_addresses_and_networks(bin, tmp_path):
    cdb = tmp_path / "cdb"
    rules = ('2001:DB8::/32:allow,N="32"\n2001:db8:0:1::/64:allow,N="64"\n'
             '2001:db8:0:1:0::7:deny\n::ffff:10.0.0.1:deny\n::/0:deny\n'
             'joe@2001:db8::7:allow,N="joe"\n:allow,N="none"\n')
    assert compile_rules(bin / "tcprules", cdb, rules).returncode == 0
    for ip, info, want in [
        ("2001:db8:ffff::1", "", "N=32"),
        ("2001:db8:0:1::1", "", "N=64"),
        ("2001:db8:0:1::7", "", "deny"),
        ("2001:db8::7", "joe", "N=joe"),
        ("2001:db9::", "", "deny"),
        ("10.0.0.1", "", "deny"),
        ("10.0.0.2", "", "N=none"),
    ]:
        peer = {"TCPREMOTEIP": ip, **({"TCPREMOTEINFO": info} if info else {})}
        assert want in check_rules(bin / "tcprulescheck", cdb, peer).stdout


def test_host_names_are_found_in_lower_case(bin, tmp_path):
    compile_rules(bin / "tcprules", tmp_path / "cdb", "=.Example:deny\n")
    for name in "a.example", "a.Example":
        said = check_rules(bin / "tcprulescheck", tmp_path / "cdb",
                           {"TCPREMOTEHOST": name}).stdout
        assert "deny" in said


# ---- serving ----


def test_child_environment_is_that_of_ucspi_tcp(bin, tmp_path, serve):
    compile_rules(bin / "tcprules", tmp_path / "cdb",
                  '127.:allow,RULE_A="x=y",RULE_B=""\n')
    dirty = {**os.environ, "TCPREMOTEHOST": "old", "TCPREMOTEINFO": "old"}
    seen = []
    for program in bin / "tcpserver", DEBIAN / "tcpserver":
        server = serve(program, "-HRl", "name", "-x", tmp_path / "cdb",
                       env=dirty)
        env = server.environment()
        assert env.pop("TCPLOCALPORT") == str(server.port)
        assert int(env.pop("TCPREMOTEPORT")) > 0
        seen.append(env)
    assert seen[0] == seen[1]
    assert seen[0] == {
        "PROTO": "TCP", "TCPLOCALIP": "127.0.0.1", "TCPLOCALHOST": "name",
        "TCPREMOTEIP": "127.0.0.1", "RULE_A": "x=y", "RULE_B": ""}


def test_log_lines_are_those_of_ucspi_tcp(bin, tmp_path, serve):
    compile_rules(bin / "tcprules", tmp_path / "cdb",
                  "127.0.0.9:deny\n:allow\n")
    logs = []
    for program in bin / "tcpserver", DEBIAN / "tcpserver":
        server = serve(program, "-HRl0", "-x", tmp_path / "cdb", "-c7",
                       run=("sh", "-c", "exit 3"))
        server.talk()
        server.wait_line("status: 0/7", 2)
        server.talk(source="127.0.0.9", target="127.0.0.1")
        server.wait_line("status: 0/7", 3)
        (tmp_path / "cdb").rename(tmp_path / "away")
        server.talk()
        server.wait_line("status: 0/7", 4)
        (tmp_path / "cdb").write_bytes(b"damaged")
        server.talk()
        server.wait_line("status: 0/7", 5)
        (tmp_path / "away").rename(tmp_path / "cdb")
        lines = [re.sub(r"(pid|ok|deny|end) \d+", r"\1 N", line)
                 .replace(f":{server.port} ", ":PORT ") for line in
                 server.lines()]
        lines = [re.sub(r"::\d+$", "::RPORT", line).lower() for line in lines]
        logs.append(sorted(lines))
    ours = [line.replace("no such file or directory", "file does not exist")
            for line in logs[0]]
    assert ours == logs[1]


def test_missing_rules_are_allowed_only_with_X(bin, tmp_path, serve):
    assert serve(bin / "tcpserver", "-HRl0", "-x", tmp_path / "no").talk() \
        == b""
    assert serve(bin / "tcpserver", "-XHRl0", "-x", tmp_path / "no").talk()
    (tmp_path / "bad").write_bytes(b"x" * 3000)
    server = serve(bin / "tcpserver", "-XHRl0", "-x", tmp_path / "bad")
    assert server.talk() == b""
    server.wait_line("unable to read .*bad: Protocol error")


def test_host_0_serves_both_families(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", host="0")
    env = server.environment(source="127.0.0.1")
    assert env["TCPREMOTEIP"] == env["TCPLOCALIP"] == "127.0.0.1"
    if not socket.has_ipv6:
        return
    env = server.environment(source="::1")
    assert env["TCPREMOTEIP"] == env["TCPLOCALIP"] == "::1"
    assert env["PROTO"] == "TCP"


def test_ipv6_address_serves_ipv6_only(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", host="::")
    assert server.environment(source="::1")["TCPLOCALIP"] == "::1"
    with pytest.raises(ConnectionRefusedError):
        server.talk(source="127.0.0.1")


def test_names_of_hosts_and_ports(bin, serve, tmp_path):
    server = serve(bin / "tcpserver", "-R", host="localhost")
    source = "127.0.0.1"
    with contextlib.suppress(ConnectionRefusedError):
        assert server.environment(source=source)["TCPLOCALHOST"] \
            == "localhost"
    done = subprocess.run([bin / "tcpserver", "no.such.host.invalid", "1",
                           "true"], capture_output=True, text=True)
    assert done.returncode == 111
    assert "no IP address for no.such.host.invalid" in done.stderr
    done = subprocess.run([bin / "tcpserver", "0", "no-such-port", "true"],
                          capture_output=True, text=True)
    assert done.returncode == 111
    assert "unable to figure out port number for no-such-port" in done.stderr


def test_names_are_looked_up_for_the_child(bin, serve):
    env = serve(bin / "tcpserver", "-pR").environment()
    assert env["TCPREMOTEHOST"] == env["TCPLOCALHOST"] == "localhost"
    assert "TCPREMOTEINFO" not in env


def test_port_in_use_says_so_unless_quiet(bin, serve):
    port = str(serve(bin / "tcpserver", "-HRl0").port)
    loud = subprocess.run([bin / "tcpserver", "127.0.0.1", port, "true"],
                          capture_output=True, text=True)
    quiet = subprocess.run([bin / "tcpserver", "-q", "127.0.0.1", port,
                            "true"], capture_output=True, text=True)
    assert loud.returncode == quiet.returncode == 111
    assert loud.stderr == \
        "tcpserver: fatal: unable to bind: Address already in use\n"
    assert quiet.stderr == ""


def test_banner_comes_first(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-B", "220 hello\r\n",
                   run=("echo", "bye"))
    assert server.talk() == b"220 hello\r\nbye\n"


def test_delay_options_set_nodelay(bin, serve):
    # A program that reads the option of its descriptor 0.
    ask = ("/usr/bin/python3", "-c",
           "import socket; s = socket.socket(fileno=0); print("
           "s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))")
    assert serve(bin / "tcpserver", "-dHRl0", run=ask).talk() == b"0\n"
    assert serve(bin / "tcpserver", "-DHRl0", run=ask).talk() == b"1\n"


def test_the_limit_defers_connections(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-c2",
                   run=("sh", "-c", "echo in; read x"))
    ends = [socket.create_connection(("127.0.0.1", server.port), timeout=20)
            for _ in range(3)]
    assert ends[0].recv(10) == ends[1].recv(10) == b"in\n"
    ends[2].settimeout(0.2)
    with pytest.raises(socket.timeout):
        ends[2].recv(10)
    ends[2].settimeout(20)
    ends[1].sendall(b"\n")
    assert ends[2].recv(10) == b"in\n"
    for end in ends:
        end.close()
    server.wait_line("status: 0/2", 2)
    assert not any("3/2" in line for line in server.lines())


def test_sigterm_ends_the_server_and_not_its_children(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", run=("cat",))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        s.sendall(b"a")
        assert s.recv(1) == b"a"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        s.sendall(b"b")
        assert s.recv(1) == b"b"


def test_child_has_clean_signals_and_no_listening_socket(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", run=(
        "sh", "-c", "grep Sig /proc/self/status; ls -l /proc/self/fd"))
    said = server.talk().decode()
    masks = dict(re.findall(r"(Sig\w+):\s+([0-9a-f]+)", said))
    assert int(masks["SigBlk"], 16) == int(masks["SigIgn"], 16) == 0
    sockets = set(re.findall(r"socket:\[\d+\]", said))
    assert len(sockets) == 1
    assert "signalfd" not in said


def test_a_program_that_does_not_exist_drops_the_connection(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", run=("no-such-program",))
    assert server.talk() == b""
    server.wait_line("dropping connection, unable to run no-such-program: ")
    server.wait_line("end .* status 28416")


def test_uid_that_is_no_number_is_refused(bin):
    for option in ("-u", ""), ("-u", "daemon"), ("-g", "-1"), ("-U",):
        env = {k: v for k, v in os.environ.items() if k not in ("UID", "GID")}
        done = subprocess.run([bin / "tcpserver", *option, "127.0.0.1", "0",
                               "true"], env=env, capture_output=True,
                              timeout=20)
        assert done.returncode == 100


@pytest.mark.root
def test_privileges_are_dropped_for_good(bin, serve):
    show = ("grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status")
    want = [["Uid:"] + ["1234"] * 4, ["Gid:"] + ["4321"] * 4,
            ["Groups:", "4321"]]
    said = serve(bin / "tcpserver", "-HRl0", "-u1234", "-g4321", run=show)
    assert [line.split() for line in said.talk().decode().splitlines()] == want
    said = serve(bin / "tcpserver", "-UHRl0", run=show,
                 env={**os.environ, "UID": "1234", "GID": "4321"})
    assert [line.split() for line in said.talk().decode().splitlines()] == want


def test_no_descriptors_left_neither_ends_nor_spins(bin, serve):
    # stdin, stdout, stderr, signals and the listening socket: no more.
    limit = 5
    server = serve(bin / "tcpserver", "-HRl0", run=("echo", "served"))
    pid = server.process.pid
    server.wait_line("status: 0/40")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, 1024))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        server.wait_line("unable to accept a connection: Too many open files",
                         2)
        assert server.process.poll() is None
        assert cpu_seconds(pid) < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))
        assert s.recv(10) == b"served\n"


def test_no_memory_left_does_not_end_it(bin, serve):
    # The copy of so many variables needs more than there is: what is left is
    # for the stack, which may not fail to grow.
    many = {f"V{number}": "" for number in range(20000)}
    server = serve(bin / "tcpserver", "-HRl0", run=("echo", "served"),
                   env={**os.environ, **many})
    pid = server.process.pid
    server.wait_line("status: 0/40")
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    size = int(processes.status(pid)["VmSize"].split()[0]) * 1024
    resource.prlimit(pid, resource.RLIMIT_AS, (size + 65536, before[1]))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        server.wait_line("out of memory, waiting")
        assert server.process.poll() is None
        resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert s.recv(10) == b"served\n"
    assert server.talk() == b"served\n"


@pytest.mark.root
def test_no_process_left_neither_ends_nor_spins(bin, serve):
    server = serve(bin / "tcpserver", "-HRl0", "-u", "48213", "-g", "48213",
                   run=("echo", "served"), prefix=("prlimit", "--nproc=0:1000"))
    pid = server.process.pid
    assert server.talk() == b""
    server.wait_line("dropping connection, unable to fork: ")
    subprocess.run(["prlimit", f"--pid={pid}", "--nproc=1000:1000"],
                   user=48213, group=48213, extra_groups=[], check=True)
    assert server.talk() == b"served\n"
    assert cpu_seconds(pid) < 0.5


@pytest.mark.root
def test_ident_is_asked_and_kept_out_of_the_log(bin, serve, tmp_path):
    """Port 113 is ours only in a network of its own."""
    if not shutil.which("unshare"):
        pytest.fail("unshare is needed")
    script = tmp_path / "ident.py"
    script.write_text(f"""
import socket, subprocess, sys
ident = socket.create_server(("127.0.0.1", 113))
p = subprocess.Popen([{str(bin / 'tcpserver')!r}, "-v1Hl0", "-t5",
                      "127.0.0.1", "0", "printenv", "TCPREMOTEINFO"],
                     stdout=subprocess.PIPE)
port = int(p.stdout.readline())
s = socket.create_connection(("127.0.0.1", port))
c = ident.accept()[0]
asked = c.recv(100).decode()
assert asked == f"{{s.getsockname()[1]}} , {{port}}\\r\\n", asked
c.sendall(b"1 , 2 : USERID : UNIX : joe: x\\x1b\\n")
print(s.makefile().read(), end="")
p.terminate(); p.wait()
""")
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c",
         f"ip link set lo up && exec /usr/bin/python3 {script}"],
        capture_output=True, text=True, timeout=30)
    assert done.stdout == "joe: x\n", done
    assert re.search(r"ok \d+ 0:127.0.0.1:\d+ :127.0.0.1:joe\?\?x:\d+\n",
                     done.stderr)


def test_names_are_looked_up_under_a_server_s_small_limits(bin, serve):
    """Libraries of the system's name services need more than 2 MB."""
    # The program is one without libraries: its limit stays.
    server = serve(bin / "tcpserver", "-Rl0", run=(bin / "addcr",),
                   prefix=(bin / "softlimit", "-m", "2000000"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
        server.wait_line(r"ok \d+ 0:127.0.0.1:\d+ localhost:127.0.0.1::")
        child, = processes.children(server.process.pid)
        wait_for(lambda: processes.exe(child).endswith("/addcr"), what="the program")
        limits = pathlib.Path(f"/proc/{child}/limits").read_text()
        assert re.search(r"^Max address space +2000000 ", limits, re.M)
        s.sendall(b"a\n")
        assert s.recv(10) == b"a\r\n"


@pytest.fixture
def named(bin, serve, tmp_path):
    """tcpserver whose tcplookup is this script."""
    copy = tmp_path / "bin"
    copy.mkdir()
    shutil.copy(bin / "tcpserver", copy)
    lookup = copy / "tcplookup"
    if os.geteuid() == 0:
        # It runs as somebody who must be able to reach it.
        for path in [tmp_path, *tmp_path.parents]:
            if path != pathlib.Path("/tmp") and str(path).startswith("/tmp/"):
                path.chmod(0o755)

    def start(script, *args, **kw):
        lookup.write_text(f"#!/bin/sh\n{script}\n")
        lookup.chmod(0o755)
        return serve(copy / "tcpserver", *args, **kw)
    return start


def test_a_slow_name_service_does_not_hold_the_connection(named):
    """tcplookup is killed after -t; what it did not say is unknown."""
    env = named("echo 'h Known.Example'; exec sleep 60", "-t1").environment()
    assert env["TCPREMOTEHOST"] == "known.example"
    assert "TCPLOCALHOST" not in env


# ---- rules, as tcpserver follows them ----


@pytest.mark.parametrize("answer, want", [
    ("i joe\\nh mail.example.org\\n", "joe at the address"),
    ("i ann\\nh mail.example.org\\n", "ann at the name"),
    ("i bob\\nh Mail.Example.ORG\\n", "the name"),
    ("h www.example.org\\n", "the domain"),
    ("h www.example.com\\n", "any name"),
    ("", "no name"),
])
def test_rules_for_users_and_names(bin, named, tmp_path, answer, want):
    compile_rules(bin / "tcprules", tmp_path / "cdb", """\
joe@127.0.0.1:allow,RULE="joe at the address"
ann@=mail.example.org:allow,RULE="ann at the name"
=mail.example.org:allow,RULE="the name"
=.example.org:allow,RULE="the domain"
=:allow,RULE="any name"
:allow,RULE="no name"
""")
    server = named(f"printf '{answer}'", "-l0", "-x", tmp_path / "cdb",
                   run=("printenv", "RULE"))
    assert server.talk().decode() == want + "\n"


@pytest.mark.parametrize("source, want", [
    ("127.0.0.1", "10"), ("127.64.0.1", "none"), ("127.63.255.254", "10"),
    ("127.0.7.9", "24"), ("127.0.7.8", "32"), ("::1", "v6"),
])
def test_rules_for_networks(bin, serve, tmp_path, source, want):
    compile_rules(bin / "tcprules", tmp_path / "cdb", """\
127.0.0.0/10:allow,RULE="10"
127.0.7.0/24:allow,RULE="24"
127.0.7.8/32:allow,RULE="32"
::/64:allow,RULE="v6"
:allow,RULE="none"
""")
    server = serve(bin / "tcpserver", "-HRl0", "-x", tmp_path / "cdb", host="0",
                   run=("printenv", "RULE"))
    assert server.talk(source=source).decode() == want + "\n"


def test_replaced_rules_count_at_once(bin, serve, tmp_path):
    cdb = tmp_path / "cdb"
    compile_rules(bin / "tcprules", cdb, ':allow,RULE="1"\n')
    server = serve(bin / "tcpserver", "-HRl0", "-x", cdb, run=("printenv", "RULE"))
    assert server.talk() == b"1\n"
    compile_rules(bin / "tcprules", cdb, ':allow,RULE="2"\n')
    assert server.talk() == b"2\n"
    # An error leaves what is there; then somebody damages it, then it is gone.
    assert compile_rules(bin / "tcprules", cdb, ":deny\nx:y\n").returncode == 100
    assert server.talk() == b"2\n"
    cdb.write_bytes(b"x" * 2048)
    assert server.talk() == b""
    server.wait_line("dropping connection, unable to read .*cdb: Protocol error")
    cdb.unlink()
    assert server.talk() == b""
    server.wait_line("dropping connection, unable to read .*cdb: No such file")
    compile_rules(bin / "tcprules", cdb, ":deny\n")
    assert server.talk() == b""
    server.wait_line("deny ")
    compile_rules(bin / "tcprules", cdb, ':allow,RULE="3"\n')
    assert server.talk() == b"3\n"


# ---- the manual ----


def manual():
    page = pathlib.Path(__file__).resolve().parents[2] / "tools/ucspi/tcpserver.1"
    return page.read_text()


def test_the_manual_has_the_options_of_the_program(bin):
    usage = subprocess.run([bin / "tcpserver"], capture_output=True, text=True).stderr
    flags = re.search(r"\[ -(\w+) \]", usage).group(1)
    values = re.findall(r"\[ -(\w) ", usage.replace(f"[ -{flags} ]", ""))
    listed = re.findall(r"^\.It Fl (\w)", manual(), re.M)
    assert sorted(listed) == sorted(flags) + sorted(values) or \
        sorted(listed) == sorted([*flags, *values])
    for option in sorted(listed):
        value = {"C": "1", "M": "1", "F": "::1", "b": "1", "c": "1", "g": "1", "u": "1",
                 "t": "1"}.get(option, "x") if option in values else ""
        # So it gets as far as the port.
        done = subprocess.run([bin / "tcpserver", f"-{option}{value}", "127.0.0.1", "no-such-port",
                               "true"], capture_output=True, env={**os.environ, "UID": "1",
                                                                  "GID": "1"}, timeout=20)
        assert done.returncode == 111, option


def test_every_variable_of_the_manual_has_a_test():
    here = pathlib.Path(__file__).resolve().parent
    tests = "".join(path.read_text() for path in here.glob("test_tcpserver*.py"))
    names = set(re.findall(r"\.(?:It )?Ev \$?(\w+)", manual())) - {"PATH"}
    assert len(names) > 15
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", tests)] == []
