"""What the sandboxed programs may still do: really, while mail flows.

The house runs without the test clock and with VALIJA_TEST_STRICT, so each
program is confined as in a production build. doc/sandbox.md has the table.
"""

import os
import pathlib
import poplib
import signal
import socket
import subprocess

import pytest

from house import DOMAIN, PASSWORD, House
from waiting import wait_for

ROOT = os.geteuid() == 0
TO = f"luis@{DOMAIN}"
FROM = f"ana@{DOMAIN}"
MESSAGE = b"Subject: x\r\n\r\nhello\r\n"

# What kills wherever it is tried, and what only fails.
DEADLY = ("exec", "ptrace", "netlink")
REFUSED = ("open", "create", "map")


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def all_status():
    """Of every process, by pid."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                found[int(entry)] = status_of(entry)
            except OSError:
                pass  # it has ended
    return found


def pids_of(house, program):
    """As House.pids, which cannot see what is not dumpable."""
    known = all_status()
    below = {house.svscan.pid}
    while True:
        more = {pid for pid, status in known.items() if int(status["PPid"]) in below}
        if more <= below:
            break
        below |= more
    return sorted(pid for pid in below if known[pid]["Name"] == program[:15])


def assert_confined(pid):
    status = status_of(pid)
    name = f"{status['Name']} {pid}"
    assert status["NoNewPrivs"] == "1", name
    assert status["Seccomp"] == "2", name
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0, f"{name} {kind}"
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if "core file" in line)
    assert core.split()[4:6] == ["0", "0"], name
    # Not dumpable: the kernel gives such a process's files to root.
    if status["Uid"].split()[0] != "0":
        assert os.stat(f"/proc/{pid}/maps").st_uid == 0, f"{name} is dumpable"


@pytest.fixture(scope="module")
def filtered(bin):
    """The programs, if they have filters: sanitizers cannot live with one."""
    if b"__asan_init" in (bin / "qmail-smtpd").read_bytes():
        pytest.skip("sanitizer builds have no filter")
    return bin


@pytest.fixture(scope="module")
def strict(filtered):
    made = House(filtered)
    made.env = {"VALIJA_TEST_STRICT": "1"}
    # qmail-start gets an environment of its own.
    run = made.home / "service/qmail-send/run"
    run.write_text(run.read_text().replace("env - ", "env - VALIJA_TEST_STRICT=1 "))
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()


class Sink:
    """A host that takes connections and says nothing, until told to."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def route(self, house, domain):
        house.control("smtproutes", f"{domain}:[127.0.0.1]:{self.port}\n")

    def accept(self):
        self.listener.settimeout(30)
        return self.listener.accept()[0]

    def close(self):
        self.listener.close()


@pytest.fixture
def sink():
    made = Sink()
    yield made
    made.close()


# ---- a running house ----


def test_mail_flows_in_the_sandboxes(strict):
    strict.send(MESSAGE)
    strict.wait_messages(1)
    client = strict.pop3()
    assert b"hello" in b"\n".join(client.retr(1)[1])
    client.dele(1)
    client.quit()
    wait_for(lambda: not strict.messages(), 10, "the message to be gone")


def test_a_large_message_and_a_bounce_flow(strict):
    big = b"Subject: big\r\n\r\n" + b"0123456789" * 7 + b"\r\n"
    strict.send(big + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20000)
    strict.wait_messages(1)
    strict.send(MESSAGE, to=[f"nobody@{DOMAIN}"])
    got = strict.wait_messages(1, user="ana")
    assert b"nobody@" in got[0]
    strict.wait_queue_empty()


def test_queued_and_its_committers_are_confined(strict):
    known = all_status()
    pids = pids_of(strict, "qmail-queued")
    parents = {pid: int(known[pid]["PPid"]) for pid in pids}
    # Another one may wait for the lock: it has no committers, nor work.
    (server,) = set(parents.values()) & set(pids)
    committers = [pid for pid in pids if parents[pid] == server]
    assert len(committers) == 8
    for pid in [server, *committers]:
        assert_confined(pid)


def test_send_is_confined(strict):
    (pid,) = pids_of(strict, "qmail-send")
    assert_confined(pid)


def test_multilogs_are_confined(strict):
    pids = pids_of(strict, "multilog")
    assert pids
    for pid in pids:
        assert_confined(pid)


def test_smtpd_is_confined(strict):
    with strict.smtp() as client:
        client.ehlo()
        pids = pids_of(strict, "qmail-smtpd")
        assert pids
        for pid in pids:
            assert_confined(pid)


def test_the_parser_of_popup_is_confined(strict):
    client = poplib.POP3("127.0.0.1", strict.pop3_port, timeout=60)
    client.user("luis")
    pids = pids_of(strict, "qmail-popup")
    parsers = [pid for pid in pids if int(status_of(pid)["PPid"]) in pids]
    assert len(parsers) == 1
    assert_confined(parsers[0])
    client.quit()


def test_pop3d_is_confined(strict):
    client = strict.pop3()
    (pid,) = pids_of(strict, "qmail-pop3d")
    assert_confined(pid)
    client.quit()


def test_remote_is_confined_and_delivers(strict, sink):
    sink.route(strict, "far.test")
    strict.send(MESSAGE, to=["x@far.test"])
    with sink.accept() as peer:
        pids = pids_of(strict, "qmail-remote")
        assert len(pids) == 1
        assert_confined(pids[0])
        stream = peer.makefile("rwb", 0)
        stream.write(b"220 hi\r\n")
        for line in stream:
            verb = line.split()[0].upper()
            if verb == b"DATA":
                stream.write(b"354 go\r\n")
                while stream.readline() != b".\r\n":
                    pass
            stream.write(b"250 ok\r\n")
            if verb == b"QUIT":
                break
    strict.wait_queue_empty()


def test_supervisors_and_spawners_are_not(strict):
    """Sandboxes are inherited: users' programs must not be in one."""
    for program in ("svscan", "supervise", "tcpserver", "qmail-lspawn"):
        for pid in pids_of(strict, program):
            status = status_of(pid)
            assert status["NoNewPrivs"] == "0", program
            assert status["Seccomp"] == "0", program


# ---- programs that try what is forbidden ----


@pytest.fixture(scope="module")
def still(filtered):
    """A house that is not started."""
    made = House(filtered)
    made.add_domain()
    yield made
    made.remove()


def run(house, what, *command, stdin=b"", **kw):
    env = {"PATH": os.environ["PATH"], "VALIJA_TEST_STRICT": "1",
           "VALIJA_TEST_FORBIDDEN": what, **kw.pop("env", {})}
    program, *arguments = map(str, command)
    return subprocess.run([house.home / "bin" / program, *arguments], env=env,
                          input=stdin, capture_output=True, timeout=60, **kw)


def assert_killed(done):
    assert done.returncode == -signal.SIGSYS, done
    assert b"probe" not in done.stderr


def assert_refused(done, what):
    assert f"probe {what} refused".encode() in done.stderr, done
    assert b"succeeded" not in done.stderr


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_smtpd_dies_of_it(still, what):
    assert_killed(run(still, what, "qmail-smtpd", stdin=b"QUIT\r\n"))


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_smtpd_is_refused_it_and_goes_on(still, what):
    done = run(still, what, "qmail-smtpd", stdin=b"QUIT\r\n")
    assert_refused(done, what)
    assert done.returncode == 0
    assert b"\r\n221 " in done.stdout


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_the_parser_of_popup_dies_of_it(still, what):
    done = run(still, what, "qmail-popup", "host", "true", stdin=b"QUIT\r\n")
    assert b"probe" not in done.stderr
    assert b"+OK" not in done.stdout


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_the_parser_of_popup_is_refused_it_and_goes_on(still, what):
    done = run(still, what, "qmail-popup", "host", "true", stdin=b"QUIT\r\n")
    assert_refused(done, what)
    assert done.stdout.count(b"+OK") == 2


@pytest.fixture
def maildir(still):
    """One that belongs to somebody who is not root."""
    path = still.home / "a-maildir"
    if not path.exists():
        for folder in ("tmp", "new", "cur"):
            (path / folder).mkdir(parents=True)
        if ROOT:
            for each in (path, *path.iterdir()):
                os.chown(each, 65534, 65534)
    return path


def pop3d(house, what, maildir):
    who = {"user": 65534, "group": 65534, "extra_groups": []} if ROOT else {}
    return run(house, what, "qmail-pop3d", maildir, stdin=b"QUIT\r\n", **who)


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_pop3d_dies_of_it(still, maildir, what):
    assert_killed(pop3d(still, what, maildir))


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_pop3d_is_refused_it_and_goes_on(still, maildir, what):
    done = pop3d(still, what, maildir)
    assert_refused(done, what)
    assert done.returncode == 0
    assert done.stdout.count(b"+OK") == 2


def remote(house, what):
    return run(house, what, "qmail-remote", "[127.0.0.1]", "a@b.test", "c@d.test",
               stdin=b"Subject: x\n\nx\n")


@pytest.mark.parametrize("what", DEADLY)
def test_remote_dies_of_it(still, what):
    assert_killed(remote(still, what))


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_remote_is_refused_it_and_goes_on(still, what):
    done = remote(still, what)
    assert_refused(done, what)
    assert done.returncode == 0
    assert done.stdout


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_queued_dies_of_it(still, what):
    assert_killed(run(still, what, "qmail-queued", "-e"))


@pytest.mark.parametrize("what", REFUSED)
def test_queued_is_refused_it_and_goes_on(still, what):
    done = run(still, f"{what} qmail-queued", "qmail-queued", "-e")
    assert_refused(done, what)
    assert b"listening" in done.stderr
    assert done.returncode == 0


def with_committer(house, what, until):
    """Start qmail-queued, wait for a line of its log, end it."""
    env = {"PATH": os.environ["PATH"], "VALIJA_TEST_STRICT": "1",
           "VALIJA_TEST_FORBIDDEN": f"{what} committer"}
    proc = subprocess.Popen([house.home / "bin/qmail-queued", "-e", "-c", "1"], env=env,
                            stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    lines = []
    for line in proc.stderr:
        lines.append(line)
        if until in line:
            break
    proc.stdin.close()
    lines += proc.stderr.readlines()
    proc.wait(30)
    return b"".join(lines)


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_a_committer_dies_of_it(still, what):
    said = with_committer(still, what, b"a committer ended")
    assert f"(status {int(signal.SIGSYS)})".encode() in said
    assert b"probe" not in said


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_a_committer_is_refused_it(still, what):
    said = with_committer(still, what, b"listening")
    assert f"probe {what} refused".encode() in said
    assert b"ended" not in said


def send(house, what, tmp_path):
    """Its descriptor 0 is the log; nobody is at the others."""
    log = tmp_path / "log"
    env = {"PATH": os.environ["PATH"], "VALIJA_TEST_STRICT": "1",
           "VALIJA_TEST_FORBIDDEN": what}
    if "QMAILQUEUE" in os.environ:
        env["QMAILQUEUE"] = os.environ["QMAILQUEUE"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" 0>"$1" 1>/dev/null 3>/dev/null 2</dev/null 4</dev/null',
         house.home / "bin/qmail-send", log], env=env, timeout=60)
    return done.returncode, log.read_bytes()


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_send_dies_of_it(still, tmp_path, what):
    code, log = send(still, what, tmp_path)
    assert code == -signal.SIGSYS
    assert b"probe" not in log


@pytest.mark.parametrize("what", REFUSED)
def test_send_is_refused_it(still, tmp_path, what):
    code, log = send(still, what, tmp_path)
    assert code == 111  # nobody is at its descriptors
    assert f"probe {what} refused".encode() in log


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_multilog_dies_of_it(still, tmp_path, what):
    assert_killed(run(still, what, "multilog", "t", tmp_path / "log"))


@pytest.mark.parametrize("what", (*REFUSED, "fork"))
def test_multilog_is_refused_it_and_goes_on(still, tmp_path, what):
    done = run(still, what, "multilog", tmp_path / "log", stdin=b"a line\n")
    assert_refused(done, what)
    assert done.returncode == 0
    assert (tmp_path / "log/current").read_bytes() == b"a line\n"


# ---- those that run outside programs ----


def test_multilog_with_a_processor_may_run_it(still, tmp_path):
    log = tmp_path / "log"
    done = run(still, "", "multilog", "s4096", "!tr a-z A-Z", log, stdin=b"abc\n" * 2000)
    assert done.returncode == 0
    assert any(path.read_bytes().startswith(b"ABC\n") for path in log.glob("@*.s"))


def test_smtpd_runs_the_program_of_qmailqueue_unconfined(still, tmp_path):
    """It gets neither filter nor Landlock, and may be setuid."""
    tmp_path.chmod(0o777)
    scanner = tmp_path / "scanner"
    scanner.write_text("#!/bin/sh\n"
                       "cat >/dev/null\ncat <&1 >/dev/null\n"
                       f"grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status >{tmp_path}/seen\n"
                       "ulimit -n >>" + f"{tmp_path}/seen\n")
    scanner.chmod(0o755)
    dialogue = (f"EHLO x\r\nMAIL FROM:<{FROM}>\r\nRCPT TO:<{TO}>\r\nDATA\r\n"
                "Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n").encode()
    done = run(still, "", "qmail-smtpd", stdin=dialogue,
               env={"QMAILQUEUE": str(scanner), "RELAYCLIENT": ""})
    assert b"250 2.0.0 ok" in done.stdout, done
    seen = (tmp_path / "seen").read_text().split()
    assert seen[:4] == ["NoNewPrivs:", "0", "Seccomp:", "0"]
    assert int(seen[4]) > 64


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_smtpd_dies_of_it_with_qmailqueue_too(still, what):
    assert_killed(run(still, what, "qmail-smtpd", stdin=b"QUIT\r\n",
                      env={"QMAILQUEUE": "/bin/false"}))


@pytest.mark.parametrize("what", (*DEADLY, "inet"))
def test_send_dies_of_it_with_qmailqueue_too(still, tmp_path, monkeypatch, what):
    monkeypatch.setenv("QMAILQUEUE", "/bin/false")
    code, log = send(still, what, tmp_path)
    assert code == -signal.SIGSYS
    assert b"probe" not in log
