"""rblsmtpd, beside that of ucspi-tcp 0.88 and before a scripted name server."""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from dnsserver import WAYS, DnsServer, PrivateNet
from processes import children, status
from waiting import wait_for

DEBIAN = pathlib.Path("/usr/bin")
CLIENT = "10.1.2.3"
BACK = "3.2.1.10."
PATH = {"PATH": "/usr/bin:/bin"}


@pytest.fixture(autouse=True)
def needs_debian():
    if not (DEBIAN / "rblsmtpd").exists():
        pytest.fail("install Debian's package ucspi-tcp")


@pytest.fixture
def dns():
    with DnsServer() as server:
        yield server


def run(program, *args, env=(), **popen):
    popen.setdefault("stdin", subprocess.DEVNULL)
    if "input" in popen:
        del popen["stdin"]
    return subprocess.run([str(program), *map(str, args)], capture_output=True,
                          timeout=60, env={**PATH, **dict(env)}, **popen)


def log_of(done):
    """Without what differs each time, and with the original's words for an errno."""
    text = re.sub(r" pid \d+: ", " pid N: ", done.stderr.decode())
    return text.replace("No such file or directory", "file does not exist") \
        .replace("Permission denied", "access denied")


def seen(done):
    return done.returncode, done.stdout, log_of(done)


def same(bin, *args, **popen):
    ours = run(bin / "rblsmtpd", *args, **popen)
    assert seen(ours) == seen(run(DEBIAN / "rblsmtpd", *args, **popen))
    return ours


def ask(bin, dns, *args, ip=CLIENT, env=(), **popen):
    """Ours, with its client and name server."""
    return run(bin / "rblsmtpd", *args, "echo", "served",
               env={"DNSCACHEIP": dns.cacheip, "TCPREMOTEIP": ip, **dict(env)}, **popen)


def verdict(done):
    """`served`, or what the client would be told."""
    assert done.returncode == 0
    if done.stdout == b"served\n":
        return "served"
    match = re.search(r"^rblsmtpd: \S* pid \d+: ([45]\d\d .*)$", done.stderr.decode(), re.M)
    assert match and done.stdout.startswith(b"220 rblsmtpd.local\r\n"), done
    return match.group(1)


# ---- misuse and the program ----


@pytest.mark.parametrize("args", [(), ("-x", "true"), ("-r",), ("-t",), ("-b",), ("--",), ("-bx", "true")],
                         ids=" ".join)
def test_exit_100_and_the_usage_when_misused(bin, args):
    ours = run(bin / "rblsmtpd", *args)
    assert ours.returncode == run(DEBIAN / "rblsmtpd", *args).returncode == 100
    assert ours.stderr.startswith(b"rblsmtpd: usage: rblsmtpd ")


@pytest.mark.parametrize("args", [("-tx",), ("-t-1",), ("-t1s",), ("-t86401",), ("-T0",), ("-Tx",), ("-w0",),
                                  ("-wx",), ("-l0",), ("-lx",), ("-l1000001",), ("-r", ""), ("-a", "a..b"),
                                  ("-r", "a:"), ("-a", "a:b")], ids=" ".join)
def test_exit_100_for_numbers_and_lists_that_are_none(bin, args):
    # The original takes the digits there are, and asks for no name at all.
    done = run(bin / "rblsmtpd", *args, "true")
    assert done.returncode == 100
    assert re.match(rb"rblsmtpd: (option -|no name of a list: )", done.stderr)


@pytest.mark.parametrize("args", [("no-such-program",), ("/etc/passwd",), ("sh", "-c", "exit 7"), ("true",),
                                  ("--", "sh", "-c", "kill -9 $$"), ("-b", "echo", "-r"), ("-BCc", "echo", "x")],
                         ids=" ".join)
@pytest.mark.parametrize("variables", [{}, {"RBLSMTPD": ""}, {"TCPREMOTEIP": CLIENT},
                                       {"PATH": "/none:/usr/bin:/bin"}], ids=str)
def test_it_becomes_the_program(bin, args, variables):
    done = same(bin, *args, env=variables)
    assert done.returncode != 100
    if args[0] == "no-such-program":
        assert done.returncode == 111


def test_an_empty_RBLSMTPD_runs_the_program_at_once(bin, dns):
    dns.add(BACK + "l.test", "TXT", "no")
    done = ask(bin, dns, "-r", "l.test", "-c", "-a", "l.test", env={"RBLSMTPD": ""})
    assert verdict(done) == "served"
    assert dns.asked == []


@pytest.mark.parametrize("ip", [None, "", "unknown", "10.1.2", "10.1.2.3.4"])
def test_without_a_TCPREMOTEIP_the_program_runs(bin, dns, ip):
    # The original asks for whatever name results.
    dns.add("l.test", "TXT", "no")
    env = {"DNSCACHEIP": dns.cacheip, **({} if ip is None else {"TCPREMOTEIP": ip})}
    assert run(bin / "rblsmtpd", "-cr", "l.test", "echo", "served", env=env).stdout == b"served\n"
    assert dns.asked == []


def test_without_a_list_nobody_is_asked(bin, dns):
    assert verdict(ask(bin, dns)) == "served"
    assert dns.asked == []


SHOW = r"""
env | grep -v ^_= | sort; umask; ulimit -a; ls -l /proc/self/fd | sed 's/.*[0-9]:[0-9]* //;s/\/proc\/.*//'
grep -E '^(Sig|Cap|NoNew|Seccomp|Threads)' /proc/self/status | grep -v SigQ; cat /proc/self/fd/$FD"""


def test_the_program_gets_all_that_it_would_have_got(bin, dns):
    """Whoever asked DNS was in a sandbox; it is in none."""
    shown = []
    for command in ([bin / "rblsmtpd", "-r", "l.test", "-a", "m.test"], []):
        read, write = os.pipe()
        os.write(write, b"from outside\n")
        os.close(write)
        with open("/dev/null") as null:
            done = subprocess.run(
                [*command, "sh", "-c", SHOW], stdin=null, capture_output=True, pass_fds=[read], timeout=60,
                env={**PATH, "DNSCACHEIP": dns.cacheip, "TCPREMOTEIP": CLIENT, "FD": str(read)},
                preexec_fn=lambda: (os.umask(0o27), signal.signal(signal.SIGUSR1, signal.SIG_IGN)))
        os.close(read)
        assert b"from outside\n" in done.stdout
        shown.append(re.sub(rb"\[\d+\]", b"", done.stdout))
    assert shown[0] == shown[1]
    assert len(dns.asked) == 2


def test_the_program_has_the_process_and_no_child(bin, dns):
    process = subprocess.Popen([bin / "rblsmtpd", "-r", "l.test", "sh", "-c", "echo $$; read x"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env={**PATH, "DNSCACHEIP": dns.cacheip, "TCPREMOTEIP": CLIENT})
    with process:
        assert int(process.stdout.readline()) == process.pid
        assert children(process.pid) == []
        process.stdin.close()


# ---- RBLSMTPD and the dialog, as the original ----


TEXTS = ["x", "go away", "-go away", "-", "--", " x", "a\\b", "\N{SNOWMAN}\x7f\ttab\nline\rcr", "y" * 199,
         "y" * 200, "-" + "y" * 201, "y" * 5000, "%IP%", "451 x"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
@pytest.mark.parametrize("options", [(), ("-b",), ("-t0",), ("-c", "-r", "l.test")], ids=" ".join)
def test_RBLSMTPD_blocks_with_its_text(bin, text, options):
    variables = {"RBLSMTPD": text, "TCPREMOTEIP": "192.0.2.1"}
    done = same(bin, *options, "echo", "served", env=variables,
                input=b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n")
    assert done.returncode == 0
    assert b"served" not in done.stdout
    final = text.startswith("-")
    assert (b"553 " if final else b"451 ") in done.stdout


@pytest.mark.parametrize("ip", [None, "", "::1", "not an address"])
def test_the_log_line_of_the_original(bin, ip):
    variables = {"RBLSMTPD": "no", **({} if ip is None else {"TCPREMOTEIP": ip})}
    assert log_of(same(bin, "true", env=variables)) == f"rblsmtpd: {ip or ''} pid N: 451 no\n"


@pytest.mark.parametrize("commands", [
    b"", b"QUIT\r\n", b"quit\n", b"QuIt now\r\nNOOP\r\n", b"QUITX\r\n", b"NOOP", b"\r\n", b"\n\n",
    b"HELO\r\nHELO x\r\nMAIL\r\nmail from:<>\r\nRSET\r\nNOOP x\r\n",
    b"HELO x\r\nRCPT TO:<a@b>\r\nDATA\r\nVRFY a\r\nSTARTTLS\r\nAUTH PLAIN\r\nHELP\r\nMAILX\r\n",
    b"RCPT TO:<a@b>\n" * 300 + b"QUIT\n", b" NOOP\r\n", b"NO\0OP\r\n", b"MAIL\tFROM:<>\r\n",
    b"\xff\xfe\x00\r\n",
], ids=lambda commands: repr(commands[:24]))
def test_commands_are_answered_as_by_the_original(bin, commands):
    done = same(bin, "echo", "served", env={"RBLSMTPD": "-no", "TCPREMOTEIP": CLIENT}, input=commands)
    assert done.stdout.startswith(b"220 rblsmtpd.local\r\n")


def test_after_EHLO_there_are_enhanced_codes(bin):
    commands = b"RCPT x\r\nEHLO x\r\nMAIL\r\nRCPT x\r\nRSET\r\nNOOP\r\nHELO x\r\nRCPT x\r\nEHLO x\r\nQUIT\r\n"
    for variable, code, enhanced in (("no", b"451", b"4.7.1"), ("-no", b"553", b"5.7.1")):
        done = run(bin / "rblsmtpd", "true", env={"RBLSMTPD": variable}, input=commands)
        assert done.stdout.split(b"\r\n") == [
            b"220 rblsmtpd.local", code + b" no", b"250-rblsmtpd.local", b"250 ENHANCEDSTATUSCODES",
            b"250 2.1.0 rblsmtpd.local", code + b" " + enhanced + b" no", b"250 2.0.0 rblsmtpd.local",
            b"250 2.0.0 rblsmtpd.local", b"250 rblsmtpd.local", code + b" no", b"250-rblsmtpd.local",
            b"250 ENHANCEDSTATUSCODES", b"221 2.0.0 rblsmtpd.local", b""]


def test_a_line_without_end_costs_no_memory(bin):
    done = run(bin / "rblsmtpd", "true", env={"RBLSMTPD": "no"}, input=b"x" * 5_000_000 + b"\r\nNOOP\r\nQUIT\r\n")
    assert done.stdout == b"220 rblsmtpd.local\r\n451 no\r\n250 rblsmtpd.local\r\n221 rblsmtpd.local\r\n"


class Session:
    """rblsmtpd with a client at the other end of a socket."""

    def __init__(self, bin, *args, **env):
        ours, theirs = socket.socketpair()
        self.socket = ours
        ours.settimeout(30)
        self.began = time.monotonic()
        self.process = subprocess.Popen([bin / "rblsmtpd", *map(str, args)], stdin=theirs, stdout=theirs,
                                        stderr=subprocess.PIPE, env={**PATH, **env})
        theirs.close()

    def end(self):
        """How long it took to its end, and the code."""
        self.process.wait(timeout=30)
        return time.monotonic() - self.began, self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("folder", ["ours", "theirs"])
def test_t_ends_a_silent_session(bin, folder):
    with Session(bin if folder == "ours" else DEBIAN, "-t1", "true", RBLSMTPD="no") as session:
        took, code = session.end()
        assert code == 0 and 0.9 < took < 10
        assert session.socket.recv(100) == b"220 rblsmtpd.local\r\n"


def test_t_ends_one_that_always_has_another_byte(bin):
    with Session(bin, "-t1", "true", RBLSMTPD="no") as session:
        with contextlib.suppress(OSError):
            while time.monotonic() - session.began < 20:
                session.socket.sendall(b"NOOP\r\nx")
                time.sleep(0.05)  # no event is waited for: this is the client's pace
        took, code = session.end()
        assert code == 0 and took < 10


def test_t_ends_one_that_takes_no_answer(bin):
    with Session(bin, "-t1", "true", RBLSMTPD="no") as session:
        session.socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            while True:
                session.socket.sendall(b"NOOP\r\n" * 1000)
        took, code = session.end()
        assert code == 0 and took < 10


def test_t_0_sends_one_line(bin):
    with Session(bin, "-t0", "true", RBLSMTPD="-no") as session:
        session.socket.sendall(b"EHLO x\r\n")
        assert session.socket.makefile("rb").read() == b"553 no\r\n"
        session.socket.shutdown(socket.SHUT_WR)
        assert session.end()[1] == 0


def test_a_session_lasts_60_seconds_without_t(bin, tmp_path):
    """As its calls of poll(2) have it: that long is not waited."""
    trace = tmp_path / "trace"
    done = subprocess.run(["strace", "-qq", "-e", "trace=poll,ppoll", "-o", trace, bin / "rblsmtpd", "true"],
                          input=b"QUIT\r\n", capture_output=True, timeout=60, env={**PATH, "RBLSMTPD": "no"})
    assert done.stdout.endswith(b"221 rblsmtpd.local\r\n"), done
    waits = re.findall(r"poll\(.*POLLIN.*?, 1, (\d+)", trace.read_text())
    assert waits and all(40_000 < int(wait) <= 60_000 for wait in waits), waits


def test_it_is_confined_while_it_talks(bin):
    with Session(bin, "true", RBLSMTPD="no") as session:
        assert session.socket.recv(100) == b"220 rblsmtpd.local\r\n"
        of = status(session.process.pid)
        assert of["NoNewPrivs"] == "1"
        if b"__asan_init" not in (bin / "rblsmtpd").read_bytes():
            assert of["Seccomp"] == "2"
        session.socket.sendall(b"QUIT\r\n")
        assert session.end()[1] == 0


# ---- lists ----


def test_r_asks_for_a_text_and_blocks_with_it(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    assert verdict(ask(bin, dns, "-r", "l.test")) == "451 listed"
    assert dns.asked == [(BACK + "l.test", "TXT", "udp")]


def test_who_is_in_no_list_is_served(bin, dns):
    dns.add(BACK + "a.test", "A", "127.0.0.2")  # exists, without a text
    done = ask(bin, dns, "-r", "l.test", "-r", "a.test", "-c", "-r", "m.test")
    assert verdict(done) == "served"
    assert done.stderr == b""


def test_b_and_B_are_for_the_lists_behind_them(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    assert verdict(ask(bin, dns, "-b", "-r", "l.test")) == "553 listed"
    assert verdict(ask(bin, dns, "-b", "-B", "-r", "l.test")) == "451 listed"
    assert verdict(ask(bin, dns, "-r", "l.test", "-b")) == "451 listed"


def test_a_lets_through_before_a_list_behind_it(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    dns.add(BACK + "w.test", "A", "127.0.0.2")
    assert verdict(ask(bin, dns, "-a", "w.test", "-r", "l.test")) == "served"
    assert verdict(ask(bin, dns, "-r", "l.test", "-a", "w.test")) == "451 listed"
    assert verdict(ask(bin, dns, "-a", "no.test", "-r", "l.test")) == "451 listed"


def test_r_with_a_text_of_its_own_asks_for_an_address(bin, dns):
    dns.add(BACK + "l.test", "A", "127.0.0.2")
    dns.add(BACK + "t.test", "TXT", "only a text")
    assert verdict(ask(bin, dns, "-r", "l.test:Blocked - see http://x.test/?ip=%IP%")) == \
        f"451 Blocked - see http://x.test/?ip={CLIENT}"
    assert verdict(ask(bin, dns, "-r", "t.test:no")) == "served"
    assert dns.asked == [(BACK + "l.test", "A", "udp"), (BACK + "t.test", "A", "udp")]


def test_lists_have_ipv6_addresses_by_nibbles(bin, dns):
    name = "1." + "0." * 23 + "8.b.d.0.1.0.0.2."
    dns.add(name + "l.test", "TXT", "six")
    dns.add(name + "w.test", "A", "127.0.0.2")
    assert verdict(ask(bin, dns, "-r", "l.test", ip="2001:db8::1")) == "451 six"
    assert verdict(ask(bin, dns, "-r", "l.test", ip="2001:db8::2")) == "served"
    assert verdict(ask(bin, dns, "-a", "w.test", "-r", "l.test", ip="2001:db8::1")) == "served"


def test_w_and_l_add_up_what_several_lists_say(bin, dns):
    for name in "x", "y", "z":
        dns.add(f"{BACK}{name}.test", "TXT", f"in {name}")
    both = ("-w", 50, "-r", "x.test", "-r", "n.test", "-b", "-r", "y.test")
    assert verdict(ask(bin, dns, *both)) == "553 in y"
    assert verdict(ask(bin, dns, "-w", 49, "-r", "x.test", "-r", "y.test")) == "served"
    assert verdict(ask(bin, dns, "-l", 3, "-w", 2, "-r", "x.test", "-w", 1, "-r", "z.test")) == "451 in z"
    assert verdict(ask(bin, dns, "-w", 2, "-r", "x.test", "-w", 1, "-r", "z.test", "-l", 4)) == "served"
    # One without a weight needs no other.
    assert verdict(ask(bin, dns, "-l", 1000, "-r", "z.test")) == "451 in z"


# ---- text from strangers ----


@pytest.mark.parametrize("value, shown", [
    ("two\r\n250 lines", "two??250 lines"), ("nul\0tab\t\x1b[2J", "nul?tab??[2J"), ("\xe4\xff", "??"),
    ("a\\b%s%n", "a\\b%s%n"), ("x" * 200, "x" * 200), ("x" * 201, "x" * 200), (["in ", "", "pieces"], "in pieces"),
])
def test_a_text_is_one_printable_line(bin, dns, value, shown):
    dns.add(BACK + "l.test", "TXT", value)
    done = ask(bin, dns, "-r", "l.test", input=b"RCPT x\r\nQUIT\r\n")
    assert verdict(done) == "451 " + shown
    assert done.stdout.split(b"\r\n") == [b"220 rblsmtpd.local", b"451 " + shown.encode(),
                                          b"221 rblsmtpd.local", b""]
    assert len(done.stderr.splitlines()) == 1


def test_an_empty_text_lists_nobody(bin, dns):
    dns.add(BACK + "l.test", "TXT", "")
    assert verdict(ask(bin, dns, "-r", "l.test")) == "served"


def test_several_texts_have_a_blank_between_them(bin, dns):
    dns.add(BACK + "l.test", "TXT", "one")
    dns.add(BACK + "l.test", "TXT", "two")
    assert verdict(ask(bin, dns, "-r", "l.test")) == "451 one two"


def test_a_hundred_texts_come_over_tcp(bin, dns):
    for _ in range(100):
        dns.add(BACK + "l.test", "TXT", "nine bytes")
    assert verdict(ask(bin, dns, "-r", "l.test")) == "451 " + ("nine bytes " * 100)[:200]
    assert [way for _, _, way in dns.asked] == ["udp", "tcp"]


def test_aliases_lead_to_the_text(bin, dns):
    dns.add(BACK + "l.test", "CNAME", "b.test")
    dns.add("b.test", "CNAME", "c.test")
    dns.add("c.test", "TXT", "far")
    assert verdict(ask(bin, dns, "-r", "l.test")) == "451 far"


# ---- a name server that fails ----


FAILING = ["servfail", "refused", "formerr", "notimp", "wrong id", "wrong question", "short data", "garbage", "loop",
           "silent", "cut, no tcp", "cut, silent tcp", "referral"]
ANSWERING = ["late", "wrong id first", "no edns", "cut", "silent once"]


def test_every_way_of_the_server_is_tried():
    assert set(FAILING) | set(ANSWERING) == set(WAYS)


@pytest.mark.parametrize("how", FAILING)
def test_C_lets_through_and_c_defers_when_dns_fails(bin, dns, how):
    dns.behave(BACK + "bad.test", how)
    dns.add(BACK + "bad.test", "TXT", "not to be seen")
    dns.add(BACK + "bad.test", "A", "127.0.0.2")
    dns.add(BACK + "l.test", "TXT", "listed")
    bad = ("-r", "bad.test")

    def both(*args):
        done = ask(bin, dns, "-T3", *args)
        assert re.match(rb"rblsmtpd: 10.1.2.3 pid \d+: no answer from bad.test\n", done.stderr)
        return verdict(done)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda args: both(*args), [
            bad, ("-b", *bad), ("-c", *bad), ("-cb", *bad), ("-c", "-C", *bad),
            (*bad, "-b", "-r", "l.test"), ("-a", "bad.test", "-r", "l.test"),
            ("-cb", "-a", "bad.test", "-r", "l.test"),
        ])) == ["served", "served", *["451 temporary RBL lookup error"] * 2, "served",
                "451 listed", "served", "451 listed"]


@pytest.mark.parametrize("how", ANSWERING)
def test_a_difficult_server_is_understood(bin, dns, how):
    dns.behave(BACK + "l.test", how)
    dns.add(BACK + "l.test", "TXT", "listed")
    done = ask(bin, dns, "-T4", "-r", "l.test")
    assert verdict(done) == "451 listed"
    assert b"no answer" not in done.stderr


def test_T_is_what_a_dead_server_costs(bin, dns):
    """With all lists together; then the mail gets through."""
    lists = []
    for number in range(5):
        dns.behave(f"{BACK}l{number}.test", "silent")
        lists += ["-r", f"l{number}.test"]
    began = time.monotonic()
    done = ask(bin, dns, "-T2", *lists)
    assert verdict(done) == "served"
    assert 1.9 < time.monotonic() - began < 2 * 5 - 1
    assert done.stderr.endswith(b": no answer from l0.test l1.test l2.test l3.test l4.test\n")


def test_a_dead_server_costs_10_seconds_without_T(bin, dns):
    dns.behave(BACK + "l.test", "silent")
    began = time.monotonic()
    assert verdict(ask(bin, dns, "-r", "l.test")) == "served"
    assert 9.9 < time.monotonic() - began < 10 + 5


def test_a_server_that_is_not_there_costs_nothing(bin, dns):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        free = held.getsockname()[1]
    began = time.monotonic()
    done = ask(bin, dns, "-r", "l.test", env={"DNSCACHEIP": f"127.0.0.1:{free}"})
    assert verdict(done) == "served"
    assert time.monotonic() - began < 5


def test_DNSCACHEIP_names_several_servers(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    with DnsServer() as silent, DnsServer() as failing:
        silent.behave(BACK + "l.test", "silent")
        failing.behave(BACK + "l.test", "servfail")
        caches = f" {silent.cacheip}  {failing.cacheip} {dns.cacheip}"
        assert verdict(ask(bin, dns, "-T12", "-r", "l.test", env={"DNSCACHEIP": caches})) == "451 listed"
        assert len(silent.asked) == len(failing.asked) == len(dns.asked) == 1


def test_a_server_may_have_an_ipv6_address(bin):
    with DnsServer(host="::1") as dns:
        dns.add(BACK + "l.test", "TXT", "six")
        assert verdict(ask(bin, dns, "-r", "l.test")) == "451 six"


# ---- at the same time, and in order ----


def test_all_lists_are_asked_at_the_same_time(bin, dns):
    lists = []
    for number in range(8):
        dns.behave(f"{BACK}l{number}.test", "late")
        lists += ["-r", f"l{number}.test"]
    began = time.monotonic()
    assert verdict(ask(bin, dns, *lists)) == "served"
    assert len(dns.asked) == 8
    assert 0.5 <= time.monotonic() - began < 8 * 0.5


def test_the_first_list_decides_however_late_it_answers(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    dns.add(BACK + "late.test", "TXT", "late")
    dns.add(BACK + "late.test", "A", "127.0.0.2")
    dns.behave(BACK + "late.test", "late")
    assert verdict(ask(bin, dns, "-b", "-r", "late.test", "-B", "-r", "l.test")) == "553 late"
    assert verdict(ask(bin, dns, "-a", "late.test", "-r", "l.test")) == "served"


def test_lists_behind_the_decision_are_not_waited_for(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    dns.behave(BACK + "dead.test", "silent")
    began = time.monotonic()
    assert verdict(ask(bin, dns, "-T30", "-r", "l.test", "-r", "dead.test", "-a", "dead.test")) == "451 listed"
    assert time.monotonic() - began < 10


# ---- who asks ----


@pytest.mark.parametrize("what", ["exec", "ptrace", "netlink"])
def test_an_asker_that_was_taken_over_is_killed_and_has_nothing_to_say(bin, dns, what):
    if b"__asan_init" in (bin / "rblsmtpd").read_bytes():
        pytest.skip("sanitizer builds have no filter")
    dns.add(BACK + "l.test", "TXT", "listed")
    probe = {"VALIJA_TEST_FORBIDDEN": f"{what} rblsmtpd (asking)"}
    assert verdict(ask(bin, dns, "-r", "l.test", env=probe)) == "served"
    assert verdict(ask(bin, dns, "-c", "-r", "l.test", env=probe)) == "451 temporary RBL lookup error"
    assert dns.asked == []


@pytest.mark.parametrize("what", ["open", "create", "map", "fork"])
def test_an_asker_can_do_nothing_else(bin, dns, what):
    if b"__asan_init" in (bin / "rblsmtpd").read_bytes():
        pytest.skip("sanitizer builds have no filter")
    dns.add(BACK + "l.test", "TXT", "listed")
    done = ask(bin, dns, "-r", "l.test", env={"VALIJA_TEST_FORBIDDEN": f"{what} rblsmtpd (asking)"})
    assert verdict(done) == "451 listed"
    assert f"rblsmtpd: probe {what} refused".encode() in done.stderr


@pytest.mark.parametrize("what", ["exec", "inet"])
def test_the_dialog_can_do_nothing_else(bin, what):
    if b"__asan_init" in (bin / "rblsmtpd").read_bytes():
        pytest.skip("sanitizer builds have no filter")
    done = run(bin / "rblsmtpd", "true", env={"RBLSMTPD": "no", "VALIJA_TEST_FORBIDDEN": f"{what} rblsmtpd"})
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, b"")


def test_the_asker_has_neither_the_client_nor_what_else_is_open(bin, dns):
    dns.behave(BACK + "l.test", "silent")
    with Session(bin, "-r", "l.test", "true", DNSCACHEIP=dns.cacheip, TCPREMOTEIP=CLIENT) as session:
        wait_for(lambda: dns.asked, what="a question")
        child, = children(session.process.pid)
        open_there = {fd: os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")}
        assert open_there.pop("0") == "/dev/null"
        assert open_there.pop("1").startswith("pipe:")
        assert open_there.pop("2") == os.readlink(f"/proc/{session.process.pid}/fd/2")
        client = os.readlink(f"/proc/{session.process.pid}/fd/0")
        asking = list(open_there.values())
        assert len(asking) == 1 and asking[0].startswith("socket:") and asking[0] != client
        assert status(child)["NoNewPrivs"] == "1"
        # When it is gone, so is what it would have said.
        os.kill(child, signal.SIGKILL)
        assert session.end()[1] == 0


def test_an_asker_that_hangs_is_ended(bin, dns):
    dns.behave(BACK + "l.test", "silent")
    with Session(bin, "-T1", "-r", "l.test", "true", DNSCACHEIP=dns.cacheip, TCPREMOTEIP=CLIENT) as session:
        wait_for(lambda: dns.asked, what="a question")
        child, = children(session.process.pid)
        os.kill(child, signal.SIGSTOP)
        try:
            took, code = session.end()
            assert code == 0 and 1 < took < 1 + 2 + 5
            assert not os.path.exists(f"/proc/{child}")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_too_few_descriptors_let_the_mail_through(bin, dns):
    dns.add(BACK + "l.test", "TXT", "listed")
    # A program that needs none itself: ours, misused.
    done = run(bin / "rblsmtpd", "-r", "l.test", bin / "rblsmtpd",
               env={"DNSCACHEIP": dns.cacheip, "TCPREMOTEIP": CLIENT},
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3)))
    assert done.returncode == 100
    assert done.stderr.startswith(b"rblsmtpd: cannot ask: Too many open files\n")
    assert b"usage" in done.stderr


# ---- beside the original, with a name server at port 53 ----


SCRIPT = {
    "records": [
        [BACK + "l.test", "TXT", "listed"], [BACK + "m.test", "TXT", "also"], [BACK + "e.test", "TXT", ""],
        [BACK + "long.test", "TXT", "x" * 300], [BACK + "w.test", "A", "127.0.0.2"],
        [BACK + "cut.test", "TXT", "y" * 900], [BACK + "alias.test", "CNAME", "t.test"],
        ["t.test", "TXT", "by another name"], [BACK + "odd.test", "TXT", "a\r\nb\0c\xe4\\d"],
        [BACK + "pieces.test", "TXT", ["a", "", "b"]], ["4.0.0.127.l.test", "TXT", "this host"],
        [BACK + "big.test", "TXT", "z" * 4000],
    ],
    "ways": {BACK + "fail.test": "servfail", BACK + "no.test": "refused"},
}

SAME = [
    ("-r", "l.test"), ("-b", "-r", "l.test"), ("-r", "l.test", "-b"), ("-bB", "-r", "l.test"), ("-r", "none.test"),
    ("-r", "none.test", "-r", "l.test"), ("-r", "l.test", "-r", "m.test"), ("-rm.test", "-br", "l.test"),
    ("-a", "w.test", "-r", "l.test"), ("-r", "l.test", "-a", "w.test"), ("-a", "l.test", "-r", "l.test"),
    ("-a", "none.test", "-b", "-r", "m.test"), ("-r", "e.test"), ("-r", "long.test"), ("-r", "w.test"),
    ("-r", "cut.test"), ("-r", "big.test"), ("-r", "alias.test"), ("-a", "alias.test", "-r", "l.test"),
    ("-r", "odd.test"), ("-r", "pieces.test"), ("-t0", "-r", "l.test"), ("-r", "l.test."), ("-r", "L.Test"),
    ("-c", "-r", "l.test"), ("-c", "-r", "none.test"), ("-c", "-a", "w.test", "-r", "l.test"), ("-a", "w.test"),
    # These take the original 11 seconds each.
    ("-r", "fail.test"), ("-c", "-r", "fail.test"), ("-cb", "-r", "no.test"), ("-r", "no.test", "-b", "-r", "l.test"),
    ("-b", "-a", "fail.test", "-r", "l.test"), ("-cb", "-a", "fail.test", "-r", "l.test"),
    ("-c", "-C", "-r", "no.test"), ("-c", "-r", "none.test", "-b", "-r", "no.test", "-r", "l.test"),
]


@pytest.fixture(scope="module")
def net():
    with PrivateNet(SCRIPT) as made:
        yield made


def test_lists_mean_what_they_mean_to_the_original(bin, net):
    def of(folder, args):
        done = net.run(folder / "rblsmtpd", *args, "echo", "served", input=b"HELO x\r\nRCPT x\r\nQUIT\r\n",
                       env={**PATH, "DNSCACHEIP": "127.0.0.1", "TCPREMOTEIP": CLIENT})
        code, out, log = seen(done)
        return code, out, re.sub(r"rblsmtpd: \S+ pid N: no answer from .*\n", "", log)

    with concurrent.futures.ThreadPoolExecutor(len(SAME)) as pool:
        theirs = [pool.submit(of, DEBIAN, args) for args in SAME]
        ours = [pool.submit(of, bin, args) for args in SAME]
        for args, our, their in zip(SAME, ours, theirs):
            assert our.result() == their.result(), args


def test_DNSCACHEIP_in_the_form_of_djbdns(bin, net):
    for folder in DEBIAN, bin:
        done = net.run(folder / "rblsmtpd", "-r", "l.test", "true", stdin=subprocess.DEVNULL,
                       env={**PATH, "DNSCACHEIP": "127.0.0.9.127.0.0.1", "TCPREMOTEIP": CLIENT})
        assert verdict(done) == "451 listed"


def test_resolv_conf_says_whom_to_ask(bin, net, tmp_path):
    """A file of our own in its place, which needs mounts of our own."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("# servers\nnameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    for folder in DEBIAN, bin:
        done = net.run("unshare", "--mount", "sh", "-c",
                       'mount --bind "$0" /etc/resolv.conf && exec "$@"', conf,
                       folder / "rblsmtpd", "-r", "l.test", "true", stdin=subprocess.DEVNULL,
                       env={**PATH, "TCPREMOTEIP": CLIENT})
        assert verdict(done) == "451 listed", done


def test_behind_tcpserver(bin, dns, tmp_path):
    """Rules set RBLSMTPD; without it, lists are asked about the client."""
    dns.add("1.0.0.127.l.test", "TXT", "this host")
    for rule, answer in ((":allow", b"451 this host\r\n"), (':allow,RBLSMTPD="-by rule"', b"553 by rule\r\n"),
                         (':allow,RBLSMTPD=""', b"served\n")):
        cdb = tmp_path / "tcp.cdb"
        subprocess.run([bin / "tcprules", cdb, tmp_path / "tmp"], input=rule.encode() + b"\n", check=True)
        server = subprocess.Popen([bin / "tcpserver", "-1HRl0", "-x", cdb, "127.0.0.1", "0", bin / "rblsmtpd",
                                   "-t0", "-r", "l.test", "sh", "-c", "read x; echo served"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env={**PATH, "DNSCACHEIP": dns.cacheip})
        try:
            port = int(server.stdout.readline())
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"EHLO x\r\n")
                assert client.makefile("rb").read() == answer
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
