"""The programs that make service directories, and the services they make."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import smtplib
import socket
import stat
import subprocess

import pytest

from conftest import ROOT
from daemontools import DEBIAN, need_debian, pid_of, run, status
from house import DOMAIN, PASSWORD, free_port, listens
from sink import Sink
from waiting import wait_for

MANUALS = ROOT / "tools/service"
SERVERS = {
    "qmail-smtpd-conf": 25, "qmail-smtpdssl-conf": 465,
    "qmail-submission-conf": 587, "qmail-pop3d-conf": 110,
    "qmail-pop3dssl-conf": 995, "imapd-conf": 143, "imapdssl-conf": 993,
    "qmail-qmtpd-conf": 209, "qmail-qmqpd-conf": 628,
}
PROGRAMS = ["qmail-delivery-conf", *SERVERS]
LOGS_IN = {name for name in SERVERS if "pop3d" in name or "imapd" in name}


def role(house, name):
    """A role as an account that needs no name: :uid:gid."""
    for line in (house.home / "users/ids").read_text().splitlines():
        fields = line.split()
        if fields[0] in ("single", name):
            return f":{fields[1]}:{fields[2]}"
    raise AssertionError(name)


def conf(house, program, directory, *ip, account="qmaild", check=True, **kw):
    accounts = [role(house, "qmaill")]
    if program in SERVERS:
        accounts.insert(0, role(house, account) if account.isalpha() else account)
    return house.run(program, *accounts, directory, *ip, check=check, text=True, **kw)


def made(house, program, name, *ip, **kw):
    """A service directory that nobody runs, in the house's service/."""
    directory = house.home / "service" / f".{name}"
    shutil.rmtree(directory, ignore_errors=True)
    conf(house, program, directory, *ip, **kw)
    return directory


def manual(program):
    return (MANUALS / f"{program}.8").read_text()


def variables(program):
    """{folder: names}, as the manual page has them."""
    found = {}
    for section in manual(program).split(".Ss In ")[1:]:
        folder, text = section.split("\n", 1)
        lines = re.findall(r"^\.It Ev (.+)$", text.split(".Sh ")[0], re.M)
        found[folder.rstrip("/")] = [name for line in lines for name in line.split(" , ")]
    if program in SERVERS and "pop3d" not in program:
        found["env"].remove("POPUPHOST")
        if program not in LOGS_IN:
            found["env"].remove("MAILDIRNAME")
    return found


def at_a_free_port(house, program, name, **kw):
    """A service directory that nobody runs, and its port."""
    directory = made(house, program, name, "127.0.0.1", **kw)
    port = free_port()
    (directory / "env/PORT").write_text(f"{port}\n")
    return directory, port


@contextlib.contextmanager
def served(house, program, name, **kw):
    """A service of the running house, under a svscan of its own: the house's
    looks for new ones only every five seconds.
    """
    directory, port = at_a_free_port(house, program, name, **kw)
    scanned = house.home / f"scanned-{name}"
    scanned.mkdir()
    (scanned / name).symlink_to(directory)
    svscan = subprocess.Popen(
        [house.home / "bin/svscan", scanned], stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
        env={"PATH": f"{house.home}/bin:{os.environ['PATH']}"})
    try:
        wait_for(lambda: listens(port), 30, lambda: f"{name}\n{log(directory)}")
        yield directory, port
    finally:
        svscan.terminate()
        svscan.wait(30)
        stop(house, directory)
        shutil.rmtree(scanned)


@contextlib.contextmanager
def found_by_house(house, program, name, **kw):
    """The same, found by the house's svscan."""
    staged, port = at_a_free_port(house, program, name, **kw)
    directory = staged.with_name(name)
    staged.rename(directory)
    try:
        wait_for(lambda: listens(port), 30, lambda: f"{name}\n{log(directory)}")
        yield directory, port
    finally:
        remove(house, directory)


def stop(house, real):
    for part in real, real / "log":
        run(house.home / "bin/svc", "-dx", part)
    for part in real, real / "log":
        wait_for(lambda: run(house.home / "bin/svok", part).returncode != 0, 30, part)
    shutil.rmtree(real)


def remove(house, directory):
    """Take a service away, as INSTALL says."""
    real = directory.resolve()
    if directory.is_symlink():
        directory.unlink()
    else:
        directory = directory.rename(directory.with_name(f".{directory.name}"))
        real = directory
    stop(house, real)


def log(directory):
    text = b""
    folder = directory / "log/main"
    if folder.is_dir():
        for path in sorted(folder.glob("@*")) + [folder / "current"]:
            with contextlib.suppress(FileNotFoundError):
                text += path.read_bytes()
    return text.decode(errors="replace")


def restart(house, directory, port):
    old = pid_of(directory)
    run(house.home / "bin/svc", "-t", directory)
    wait_for(lambda: pid_of(directory) not in (0, old) and status(directory)[0],
             20, "a new process")
    pid = pid_of(directory)
    wait_for(lambda: command_line(pid)[:1] == ["tcpserver"], 20,
             lambda: f"tcpserver\n{log(directory)}")
    if port:
        wait_for(lambda: listens(port), 20, "the port")
    return pid


def settings(house, directory, port, **values):
    for name, value in values.items():
        (directory / "env" / name).write_text(value and f"{value}\n")
    return restart(house, directory, port)


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]


def rules(house, directory, ip):
    done = house.run("tcprulescheck", directory / "tcp.cdb", text=True,
                     env={"TCPREMOTEIP": ip})
    return done.stdout


def pop3(port, mailbox="luis"):
    import poplib
    client = poplib.POP3("127.0.0.1", port, timeout=60)
    client.user(f"{mailbox}@{DOMAIN}")
    client.pass_(PASSWORD)
    return client


def greeting(port, host="127.0.0.1", timeout=30):
    with socket.create_connection((host, port), timeout) as sock:
        sock.settimeout(timeout)
        return sock.recv(1000)


# ---- what is made ----

@pytest.mark.parametrize("program", PROGRAMS)
def test_a_directory_is_what_the_manual_page_says(running, program):
    directory = made(running, program, "shape")
    wanted = {}
    for name, mode in re.findall(r"^\.It Pa (\S+) Ta (0\d+) Ta", manual(program), re.M):
        if name.endswith("/*"):
            for variable in variables(program)[name[:-2]]:
                wanted[name[:-1] + variable] = int(mode, 8)
        else:
            wanted[name.replace("\\&", "")] = int(mode, 8)
    if not (directory / "down").exists():
        wanted.pop("down", None)
    found = {str(path.relative_to(directory)): stat.S_IMODE(path.lstat().st_mode)
             for path in [directory, *directory.rglob("*")]}
    assert found == wanted
    _, uid, gid = role(running, "qmaill").split(":")
    for name in found:
        have = (directory / name).lstat()
        mine = (os.geteuid(), os.getegid())
        assert (have.st_uid, have.st_gid) == \
            ((int(uid), int(gid)) if name == "log/main" else mine), name
    # A copy elsewhere is another service: nothing names the directory.
    for path in directory.rglob("*"):
        if path.is_file():
            assert b".shape" not in path.read_bytes(), path
    shutil.rmtree(directory)


@pytest.mark.parametrize("program", SERVERS)
def test_the_port_and_the_first_values(running, program):
    directory = made(running, program, "values", "192.0.2.7")
    me = (running.home / "control/me").read_text()
    first = {"IP": "192.0.2.7\n", "PORT": f"{SERVERS[program]}\n", "CONCURRENCY": "100\n",
             "BACKLOG": "500\n", "LOCALNAME": "0\n" if program in LOGS_IN else me}
    for name in variables(program)["env"]:
        assert (directory / "env" / name).read_text() == first.get(name, ""), name
    assert (directory / "log/env/MAXFILESIZE").read_text() == "1000000\n"
    for name in "MAXLOGFILES", "MAXLOGSIZES", "PROCESSOR":
        assert (directory / "log/env" / name).read_text() == ""
    assert f'"${{PORT-{SERVERS[program]}}}"' in (directory / "run").read_text()
    assert f"Nm {program} Ta {SERVERS[program]} Ta" in manual(program)
    shutil.rmtree(directory)


def test_the_run_script_of_pop3(running):
    directory = made(running, "qmail-pop3d-conf", "words", account="root")
    assert (directory / "run").read_text() == f"""#!/bin/sh
PATH={running.home}/bin:$PATH
export PATH
exec 2>&1 \\
envdir ./env \\
sh -c '
    case "$REMOTENAME" in h) H=;; p) H=p;; *) H=H;; esac
    case "$REMOTEINFO" in r) R=;; [0-9]*) R="t$REMOTEINFO";; *) R=R;; esac
    exec \\
    softlimit ${{DATALIMIT+"-d$DATALIMIT"}} \\
    tcpserver -vD"$H$R" ${{LOCALNAME+"-l$LOCALNAME"}} ${{BACKLOG+"-b$BACKLOG"}} \
${{CONCURRENCY+"-c$CONCURRENCY"}} \\
    -xtcp.cdb -- "${{IP-0}}" "${{PORT-110}}" \\
    qmail-popup "${{POPUPHOST-`sed 1q ../../control/me`}}" vchkpw qmail-pop3d \
"${{MAILDIRNAME-Maildir}}"
'
"""
    shutil.rmtree(directory)
    # Out of the house's service/ control/ has its path.
    elsewhere = running.home / "elsewhere"
    conf(running, "qmail-pop3d-conf", elsewhere)
    assert f"`sed 1q {running.home}/control/me`" in (elsewhere / "run").read_text()
    shutil.rmtree(elsewhere)


def test_the_other_scripts(running):
    directory = made(running, "qmail-smtpd-conf", "words")
    account, logaccount = role(running, "qmaild"), role(running, "qmaill")
    server = (directory / "run").read_text()
    assert f"    envuidgid {account} \\\n" in server
    assert '    tcpserver -vUD"$H$R" ' in server and server.endswith("    qmail-smtpd\n'\n")
    assert (directory / "log/run").read_text() == f"""#!/bin/sh
PATH={running.home}/bin:$PATH
export PATH
exec \\
envdir ./env \\
sh -c '
    exec \\
    setuidgid {logaccount} \\
    multilog t ${{MAXFILESIZE+"s$MAXFILESIZE"}} ${{MAXLOGFILES+"n$MAXLOGFILES"}} \
${{MAXLOGSIZES+"n$MAXLOGSIZES"}} \\
    ${{PROCESSOR+"!$PROCESSOR"}} ./main
'
"""
    assert (directory / "Makefile").read_text() == (
        f"tcp.cdb: tcp\n\t{running.home}/bin/tcprules tcp.cdb tcp.tmp < tcp\n")
    shutil.rmtree(directory)
    directory = made(running, "qmail-delivery-conf", "words")
    assert (directory / "run").read_text() == f"""#!/bin/sh
PATH={running.home}/bin:$PATH
export PATH
exec 2>&1 \\
envdir ./env \\
sh -c '
    exec \\
    softlimit ${{DATALIMIT+"-d$DATALIMIT"}} \\
    env - PATH="$PATH" ${{LOGLEVEL+"LOGLEVEL=$LOGLEVEL"}} ${{DNSCACHEIP+"DNSCACHEIP=$DNSCACHEIP"}} \\
    qmail-start ./Maildir/
'
"""
    shutil.rmtree(directory)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_shell_script_is_one(running, program):
    """Also one of another shell, should sh be bash."""
    directory = made(running, program, "syntax")
    for name in "run", "log/run", "add-client", "add-relayclient":
        path = directory / name
        if path.exists():
            for shell in "sh", "bash":
                assert run(shell, "-n", path).returncode == 0
            text = path.read_text()
            if "sh -c '\n" in text:
                inner = text.split("sh -c '", 1)[1].rsplit("'", 1)[0]
                assert "'" not in inner
                assert run("sh", "-nc", inner).returncode == 0
    shutil.rmtree(directory)


@pytest.mark.parametrize("program, missing", [
    ("imapd-conf", "imaplogin, imapd"), ("imapdssl-conf", "imaplogin, imapd, tcptls"),
    ("qmail-smtpdssl-conf", "tcptls"), ("qmail-pop3dssl-conf", "tcptls"),
    ("qmail-qmtpd-conf", "qmail-qmtpd"), ("qmail-qmqpd-conf", "qmail-qmqpd"),
])
def test_a_service_without_its_program_is_down(running, program, missing):
    directory = running.home / "service/.down"
    done = conf(running, program, directory)
    assert done.returncode == 0
    assert done.stderr == (f"{program}: warning: not installed: {missing}; "
                           f"as long as there is {directory}/down nothing is started\n")
    assert (directory / "down").read_bytes() == b""
    supervise = subprocess.Popen([running.home / "bin/supervise", directory],
                                 stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: run(running.home / "bin/svok", directory).returncode == 0, 20)
        assert status(directory)[0] is False
    finally:
        run(running.home / "bin/svc", "-x", directory)
        supervise.wait(20)
    shutil.rmtree(directory)


# ---- exit codes ----

EXIT_CODES = {
    "0": "test_a_directory_is_what_the_manual_page_says",
    "100": "test_misuse_is_100_and_makes_nothing",
    "111": "test_what_cannot_be_made_is_111_and_leaves_nothing",
}


@pytest.mark.parametrize("program", ["qmail-smtpd-conf", "qmail-delivery-conf"])
def test_each_exit_code_of_the_manual_page_has_a_test(program):
    text = manual(program).split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
    assert re.findall(r"^\.It (\d+)$", text, re.M) == list(EXIT_CODES)
    assert all(name in globals() for name in EXIT_CODES.values())


@pytest.mark.parametrize("program", PROGRAMS)
def test_misuse_is_100_and_makes_nothing(running, tmp_path, program):
    target = tmp_path / "service"
    good = ["nobody"] if program == "qmail-delivery-conf" else ["nobody", "nobody"]
    cases = [[], good, [*good[:-1], target], [*good, target, "127.0.0.1", "more"],
             [*good, ""], [*good, "/"], [*good, tmp_path / ".."], [*good, "."],
             [*good[:-1], "", target], [*good[:-1], "no;body", target],
             [*good[:-1], "-x", target]]
    if program != "qmail-delivery-conf":
        cases += [[*good, target, "127.0.0.1 0"], [*good, target, "-h"],
                  ["no body", "nobody", target], ["`id`", "nobody", target]]
    for arguments in cases:
        done = running.run(program, *arguments, check=False, text=True, cwd=tmp_path)
        assert done.returncode == 100, arguments
        assert done.stderr.startswith(f"{program}: usage: {program} "), arguments
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_checkpassword_program_that_is_not_there(running):
    directory = running.home / "service/.down"
    done = running.run("qmail-pop3d-conf", "/no/such/program", role(running, "qmaill"),
                       directory, text=True)
    assert "warning: not installed: /no/such/program;" in done.stderr
    assert (directory / "down").exists()
    assert " /no/such/program qmail-pop3d " in (directory / "run").read_text()
    shutil.rmtree(directory)


def test_another_name_makes_nothing(running, tmp_path):
    done = subprocess.run(["smtpd-conf", "nobody", "nobody", tmp_path / "service"],
                          executable=running.home / "bin/qmail-smtpd-conf",
                          capture_output=True, text=True)
    assert done.returncode == 100
    assert done.stderr == "smtpd-conf: fatal: no service is made under this name\n"
    assert list(tmp_path.iterdir()) == []


def failed(done, message):
    assert done.returncode == 111 and message in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_cannot_be_made_is_111_and_leaves_nothing(running, tmp_path, program):
    target = tmp_path / "service"
    good = [] if program == "qmail-delivery-conf" else [role(running, "qmaild")]
    done = running.run(program, *good, "no-such-account", target, check=False, text=True)
    assert done.returncode == 111
    failed(done, "fatal: unknown account no-such-account\n")
    if good:
        failed(running.run(program, "no-such-account", role(running, "qmaill"), target,
                           check=False, text=True),
               "fatal: unknown account no-such-account\n")
    failed(conf(running, program, tmp_path / "no/service", check=False),
           f"fatal: unable to open directory {tmp_path}/no: No such file or directory\n")
    assert list(tmp_path.iterdir()) == []
    # What is there stays, also when it is an empty folder or a link to nothing.
    target.mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for path in target, f"{target}/", tmp_path / "link":
        failed(conf(running, program, path, check=False), "File exists\n")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "link", target]
    assert list(target.iterdir()) == []


def test_a_failure_half_way_leaves_nothing(running, tmp_path):
    """A home without tcprules: the rules cannot be compiled."""
    (tmp_path / "bin").mkdir()
    shutil.copy(running.home / "bin/qmail-smtpd-conf", tmp_path / "bin")
    (tmp_path / "services").mkdir()
    done = subprocess.run([tmp_path / "bin/qmail-smtpd-conf", role(running, "qmaild"),
                           role(running, "qmaill"), tmp_path / "services/smtpd"],
                          capture_output=True, text=True)
    assert done.returncode == 111
    assert "unable to compile tcp with tcprules" in done.stderr
    assert list((tmp_path / "services").iterdir()) == []


@pytest.fixture
def small_home(running, tmp_path):
    """A home whose tcprules is the test's: (home, how to make a service)."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "services").mkdir()
    shutil.copy(running.home / "bin/qmail-smtpd-conf", tmp_path / "bin")

    def start(tcprules):
        (tmp_path / "bin/tcprules").write_text(f"#!/bin/sh\n{tcprules}\n")
        (tmp_path / "bin/tcprules").chmod(0o755)
        return run(tmp_path / "bin/qmail-smtpd-conf", role(running, "qmaild"),
                   role(running, "qmaill"), tmp_path / "services/smtpd", text=True)
    return tmp_path, start


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_a_signal_waits_until_the_directory_is_complete_or_gone(small_home, name):
    home, start = small_home
    done = start(f"kill -{name} $PPID; exit 111")
    assert done.returncode == 111 and "unable to compile" in done.stderr
    assert list((home / "services").iterdir()) == []
    done = start(f"kill -{name} $PPID; cat > tcp.cdb")
    assert done.returncode == -getattr(signal, f"SIG{name}")
    assert [p.name for p in (home / "services").iterdir()] == ["smtpd"]
    assert (home / "services/smtpd/log/main").is_dir()


def test_a_folder_that_appears_meanwhile_stays(small_home):
    home, start = small_home
    done = start(f"cat > tcp.cdb; mkdir {home}/services/smtpd")
    assert done.returncode == 111 and "File exists" in done.stderr
    assert [p.name for p in (home / "services").iterdir()] == ["smtpd"]
    assert list((home / "services/smtpd").iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(running, tmp_path):
    """As on a full disk: no file may be longer than the first ones are."""
    done = run("sh", "-c", 'ulimit -f 0; exec "$@"', "sh",
               running.home / "bin/qmail-smtpd-conf", role(running, "qmaild"),
               role(running, "qmaill"), tmp_path / "smtpd", text=True)
    failed(done, f"fatal: unable to write {tmp_path}/smtpd/run: File too large\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.root
def test_an_ordinary_user_makes_no_logs_for_others(running, tmp_path):
    folder = running.home / "nobodys"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         running.home / "bin/qmail-smtpd-conf", "daemon", "daemon", folder / "smtpd"],
        capture_output=True, text=True)
    failed(done, f"fatal: unable to chown {folder}/smtpd/log/main: ")
    assert list(folder.iterdir()) == []
    folder.rmdir()


@pytest.mark.root
def test_accounts_have_names(running):
    directory = running.home / "service/.named"
    running.run("qmail-smtpd-conf", "daemon", "mail", directory)
    assert "    envuidgid daemon \\\n" in (directory / "run").read_text()
    assert "    setuidgid mail \\\n" in (directory / "log/run").read_text()
    mail = pwd.getpwnam("mail")
    have = (directory / "log/main").stat()
    assert (have.st_uid, have.st_gid) == (mail.pw_uid, mail.pw_gid)
    shutil.rmtree(directory)


def test_a_relative_directory_and_one_in_a_strange_place(running, tmp_path):
    where = tmp_path / "it's $here `now`"
    where.mkdir()
    done = running.run("qmail-smtpd-conf", role(running, "qmaild"),
                       role(running, "qmaill"), "smtpd", cwd=where)
    assert done.returncode == 0
    text = (where / "smtpd/tcp").read_text()
    done = run("./add-client", "192.0.2.1", cwd=where / "smtpd")
    assert done.returncode == 0, done.stderr
    assert (where / "smtpd/tcp").read_text() == "192.0.2.1:allow\n" + text


# ---- who may connect ----

def test_scripts_add_rules_that_count_and_make_compiles(running):
    directory = made(running, "qmail-pop3d-conf", "rules")
    assert (directory / "tcp").read_text() == "127.:allow\n::1:allow\n:deny\n"
    assert rules(running, directory, "192.0.2.1") == "rule :\ndeny connection\n"
    assert rules(running, directory, "127.0.0.1") == "rule 127.:\nallow connection\n"
    # From wherever it is called, and whatever is said there already.
    assert run(directory / "add-client", "192.0.2.1", "198.51.100.", "2001:db8::/32",
               cwd="/").returncode == 0
    assert rules(running, directory, "192.0.2.1") == "rule 192.0.2.1:\nallow connection\n"
    assert "allow connection" in rules(running, directory, "198.51.100.7")
    assert "allow connection" in rules(running, directory, "2001:db8:1::2")
    assert "deny connection" in rules(running, directory, "192.0.2.2")
    assert run("./add-relayclient", "192.0.2.1", cwd=directory).returncode == 0
    assert rules(running, directory, "192.0.2.1") == (
        "rule 192.0.2.1:\nset environment variable RELAYCLIENT=\nallow connection\n")
    assert (directory / "tcp").read_text().startswith(
        '192.0.2.1:allow,RELAYCLIENT=""\n192.0.2.1:allow\n198.51.100.:allow\n')
    # Everybody.
    assert run("./add-client", "", cwd=directory).returncode == 0
    assert rules(running, directory, "203.0.113.9") == "rule :\nallow connection\n"
    # By hand.
    (directory / "tcp").write_text("203.0.113.9:deny\n")
    os.utime(directory / "tcp.cdb", (1, 1))
    assert run("make", "-s", cwd=directory).returncode == 0
    assert "deny connection" in rules(running, directory, "203.0.113.9")
    again = run("make", cwd=directory)
    assert b"up to date" in again.stdout
    assert {p.name for p in directory.iterdir()} == {
        "run", "env", "log", "tcp", "tcp.cdb", "Makefile", "add-client", "add-relayclient"}
    shutil.rmtree(directory)


def test_scripts_that_run_at_once_lose_no_line(running):
    directory = made(running, "qmail-smtpd-conf", "together")
    before = (directory / "tcp").read_text()
    clients = [subprocess.Popen([directory / "add-client", f"192.0.2.{n}"], cwd="/")
               for n in range(12)]
    assert [client.wait() for client in clients] == [0] * 12
    text = (directory / "tcp").read_text()
    assert text.endswith(before)
    assert sorted(text.removesuffix(before).splitlines()) == sorted(
        f"192.0.2.{n}:allow" for n in range(12))
    shutil.rmtree(directory)


def test_what_does_not_compile_changes_nothing(running):
    directory = made(running, "qmail-smtpd-conf", "bad")
    before = {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}
    for script in "add-client", "add-relayclient":
        done = run(directory / script)
        assert done.returncode == 100 and done.stderr == f"usage: {script} address ...\n".encode()
        done = run(directory / script, "192.0.2.1", "10.1-999x.")
        assert done.returncode == 111 and b"10.1-999x." in done.stderr
    assert {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()} == before
    shutil.rmtree(directory)


# ---- the services ----

def test_mail_comes_in_by_smtp_and_goes_out_by_pop3(running):
    before = len(running.messages())
    with served(running, "qmail-smtpd-conf", "in") as (smtpd, smtp_port), \
            served(running, "qmail-pop3d-conf", "out") as (_, pop3_port):
        with smtplib.SMTP("127.0.0.1", smtp_port, timeout=60) as client:
            client.sendmail(f"ana@{DOMAIN}", [f"luis@{DOMAIN}"], b"Subject: conf\r\n\r\nhi\r\n")
        running.wait_messages(before + 1)
        client = pop3(pop3_port)
        count = client.stat()[0]
        texts = [b"\n".join(client.retr(n + 1)[1]) for n in range(count)]
        client.quit()
        assert any(b"Subject: conf" in text for text in texts)
        wait_for(lambda: "accepted message" in log(smtpd), 20, "the log")
        assert re.search(r"^@[0-9a-f]{24} tcpserver: status: 1/100$", log(smtpd), re.M)
        me = (running.home / "control/me").read_text().strip()
        assert f" {me}:127.0.0.1:{smtp_port} " in log(smtpd)
        _, uid, gid = role(running, "qmaill").split(":")
        current = (smtpd / "log/main/current").stat()
        assert (current.st_uid, current.st_gid) == (int(uid), int(gid))


def refusal(port):
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("test")
        client.mail(f"ana@{DOMAIN}")
        return client.rcpt("somebody@elsewhere.example")[0]


@pytest.mark.parametrize("program", ["qmail-smtpd-conf", "qmail-submission-conf"])
def test_who_may_relay(running, program):
    with served(running, program, "relay") as (directory, port):
        assert refusal(port) == 250  # this host, at first
        (directory / "tcp").write_text(":allow\n")
        os.utime(directory / "tcp.cdb", (1, 1))
        assert run("make", "-s", cwd=directory).returncode == 0
        assert refusal(port) == 553
        assert run(directory / "add-relayclient", "127.0.0.1").returncode == 0
        assert refusal(port) == 250


def test_who_may_read_mail(running):
    with served(running, "qmail-pop3d-conf", "readers") as (directory, port):
        (directory / "tcp").write_text(":deny\n")
        os.utime(directory / "tcp.cdb", (1, 1))
        assert run("make", "-s", cwd=directory).returncode == 0
        assert greeting(port) == b""
        assert run(directory / "add-client", "127.0.0.1").returncode == 0
        assert greeting(port).startswith(b"+OK")


@pytest.mark.root
def test_who_runs_what(running):
    """The server of POP3 stays root, that of SMTP does not."""
    for program, account, want in (
            ("qmail-smtpd-conf", "qmaild", role(running, "qmaild")),
            ("qmail-pop3d-conf", "root", ":0:0"), ("qmail-pop3d-conf", "qmaild", ":0:0"),
            ("qmail-pop3d-conf", "vchkpw", ":0:0"),
            ("qmail-pop3d-conf", "vpopmail", role(running, "vpopmail"))):
        if account == "vchkpw":
            directory = running.home / "service/.who"
            running.run(program, "vchkpw", role(running, "qmaill"), directory, "127.0.0.1")
            shutil.rmtree(directory)
            account = str(running.home / "bin/vchkpw")
        with served(running, program, "who", account=account) as (directory, port):
            owner = os.stat(f"/proc/{pid_of(directory)}")
            lines = pathlib.Path(f"/proc/{pid_of(directory)}/status").read_text()
            uid = re.search(r"^Uid:\s+(\d+)", lines, re.M).group(1)
            gid = re.search(r"^Gid:\s+(\d+)", lines, re.M).group(1)
            assert f":{uid}:{gid}" == want, (program, account, owner)
            if program == "qmail-pop3d-conf":
                pop3(port).quit()


def test_a_copy_with_another_port_and_a_link_is_another_service(running):
    """As it is typed: cp -rp, PORT, ln -s."""
    with found_by_house(running, "qmail-pop3d-conf", "first") as (directory, port):
        greeting(port)
        wait_for(lambda: "tcpserver: end" in log(directory), 20, "a log to copy")
        second = free_port()
        (running.home / "copies").mkdir()
        script = f"""set -e
            cd {running.home}/service
            cp -rp first ../copies/second
            echo {second} > ../copies/second/env/PORT
            ln -s ../copies/second .
        """
        assert run("sh", "-c", script).returncode == 0
        copy = running.home / "service/second"
        try:
            wait_for(lambda: listens(second), 30, lambda: log(copy))
            pop3(second).quit()
            pop3(port).quit()
            assert pid_of(copy) != pid_of(directory)
            wait_for(lambda: f":{second} " in log(copy), 20, "the copy's log")
            assert f":{second} " not in log(directory)
        finally:
            remove(running, copy)
            (running.home / "copies").rmdir()


# ---- each variable has its effect ----

@pytest.fixture(scope="module")
def pop3d(running):
    with served(running, "qmail-pop3d-conf", "effects") as (directory, port):
        yield directory, port


def options(pid):
    """What tcpserver was told before the address."""
    line = command_line(pid)
    return line[1:line.index("--")]


def last_line(directory, pattern):
    found = re.findall(pattern, log(directory), re.M)
    return found[-1] if found else None


def effect_of_IP(house, directory, port):
    settings(house, directory, None, IP="127.0.0.2")
    wait_for(lambda: greeting_or_none("127.0.0.2", port), 20, "127.0.0.2")
    assert not listens(port)
    settings(house, directory, port, IP="127.0.0.1")


def greeting_or_none(host, port):
    with contextlib.suppress(OSError):
        return greeting(port, host)


def effect_of_PORT(house, directory, port):
    other = free_port()
    settings(house, directory, other, PORT=str(other))
    assert not listens(port)
    settings(house, directory, port, PORT=str(port))


def effect_of_CONCURRENCY(house, directory, port):
    settings(house, directory, port, CONCURRENCY="1")
    wait_for(lambda: "tcpserver: status: 0/1\n" in log(directory), 20, "its limit")
    with socket.create_connection(("127.0.0.1", port), 30) as first, \
            socket.create_connection(("127.0.0.1", port), 30) as second:
        assert first.recv(100)
        second.setblocking(False)
        with pytest.raises(BlockingIOError):
            second.recv(100)
        first.close()
        second.settimeout(30)
        assert second.recv(100)
    assert not [o for o in options(settings(house, directory, port, CONCURRENCY=""))
                if o.startswith("-c")]


def effect_of_BACKLOG(house, directory, port):
    settings(house, directory, port, BACKLOG="77")
    shown = run("ss", "-Hlnt", f"sport = :{port}", text=True).stdout
    assert shown.split()[2] == "77", shown
    assert not [o for o in options(settings(house, directory, port, BACKLOG=""))
                if o.startswith("-b")]


def effect_of_LOCALNAME(house, directory, port):
    settings(house, directory, port, LOCALNAME="pop.example.net")
    greeting(port)
    wait_for(lambda: f" pop.example.net:127.0.0.1:{port} " in log(directory), 20, "the name")
    assert not [o for o in options(settings(house, directory, port, LOCALNAME=""))
                if o.startswith("-l")]
    settings(house, directory, port, LOCALNAME="0")


def effect_of_REMOTENAME(house, directory, port):
    greeting(port)
    wait_for(lambda: re.search(r"tcpserver: ok \d+ \S+ :127\.0\.0\.1:", log(directory)),
             20, "nobody's name")
    settings(house, directory, port, REMOTENAME="h")
    greeting(port)
    wait_for(lambda: re.search(r"tcpserver: ok \d+ \S+ localhost:127\.0\.0\.1:",
                               log(directory)), 20, "the client's name")
    assert options(settings(house, directory, port, REMOTENAME="p"))[0] == "-vDpR"
    assert options(settings(house, directory, port, REMOTENAME="x"))[0] == "-vDHR"
    assert options(settings(house, directory, port, REMOTENAME=""))[0] == "-vDHR"


def effect_of_REMOTEINFO(house, directory, port):
    assert options(settings(house, directory, port, REMOTEINFO="r"))[0] == "-vDH"
    assert greeting(port).startswith(b"+OK")
    assert options(settings(house, directory, port, REMOTEINFO="5"))[0] == "-vDHt5"
    assert greeting(port).startswith(b"+OK")
    assert options(settings(house, directory, port, REMOTEINFO="x"))[0] == "-vDHR"
    assert options(settings(house, directory, port, REMOTEINFO=""))[0] == "-vDHR"


def data_limit(pid):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"^Max data size\s+(\S+)", text, re.M).group(1)


def effect_of_DATALIMIT(house, directory, port):
    before = data_limit(pid_of(directory))
    assert data_limit(settings(house, directory, port, DATALIMIT="31000000")) == "31000000"
    assert greeting(port).startswith(b"+OK")
    assert data_limit(settings(house, directory, port, DATALIMIT="")) == before


def effect_of_POPUPHOST(house, directory, port):
    me = (house.home / "control/me").read_bytes().strip()
    assert re.fullmatch(rb"\+OK <[0-9.]+@%s>\r\n" % me, greeting(port))
    settings(house, directory, port, POPUPHOST="pop.example.net")
    assert re.fullmatch(rb"\+OK <[0-9.]+@pop\.example\.net>\r\n", greeting(port))
    settings(house, directory, port, POPUPHOST="")


def effect_of_MAILDIRNAME(house, directory, port):
    other = house.maildir().with_name("Other")
    run("cp", "-a", house.maildir(), other)
    for path in list(other.glob("new/*")) + list(other.glob("cur/*")):
        path.unlink()
    house.send(b"Subject: in Maildir\r\n\r\nhi\r\n")
    house.wait_messages(1)
    settings(house, directory, port, MAILDIRNAME="Other")
    client = pop3(port)
    assert client.stat()[0] == 0
    client.quit()
    settings(house, directory, port, MAILDIRNAME="")
    client = pop3(port)
    assert client.stat()[0] > 0
    client.quit()
    shutil.rmtree(other)


def effect_of_LOGLEVEL(house, directory, port):
    """What a checkpassword program of one's own finds in its environment."""
    told = house.home / "told"
    told.mkdir(mode=0o777)
    program = house.home / "checker"
    program.write_text(f"#!/bin/sh\nenv > {told}/environment.new\n"
                       f"mv {told}/environment.new {told}/environment\nexit 1\n")
    program.chmod(0o755)
    with served(house, "qmail-pop3d-conf", "level", account=str(program)) as (other, number):
        settings(house, other, number, LOGLEVEL="255")
        with socket.create_connection(("127.0.0.1", number), 30) as client:
            client.sendall(b"USER luis\r\nPASS wrong\r\n")
            while client.recv(1000):
                pass
        lines = (told / "environment").read_text().splitlines()
    shutil.rmtree(told)
    program.unlink()
    assert "LOGLEVEL=255" in lines


def wait_files(directory, port, count):
    """Talk until this many new files of the log are complete; those there are."""
    folder = directory / "log/main"
    before = set(folder.glob("@*"))
    seen = set()

    def enough():
        greeting(port)
        seen.update(set(folder.glob("@*")) - before)
        return len(seen) >= count
    wait_for(enough, 120, f"{count} files")
    return sorted(folder.glob("@*"))


def restart_log(house, directory, name, value):
    (directory / "log/env" / name).write_text(value and f"{value}\n")
    old = pid_of(directory / "log")
    run(house.home / "bin/svc", "-t", directory / "log")
    wait_for(lambda: pid_of(directory / "log") not in (0, old), 20, "a new multilog")
    pid = pid_of(directory / "log")
    wait_for(lambda: command_line(pid)[:1] == ["multilog"], 20, "multilog")
    return command_line(pid)


def effect_of_MAXFILESIZE(house, directory, port):
    line = restart_log(house, directory, "MAXFILESIZE", "4096")
    assert line == ["multilog", "t", "s4096", "./main"]
    newest = wait_files(directory, port, 2)[-1]
    assert 2096 <= newest.stat().st_size <= 4096


def effect_of_MAXLOGFILES(house, directory, port, name="MAXLOGFILES"):
    restart_log(house, directory, "MAXFILESIZE", "4096")
    line = restart_log(house, directory, name, "3")
    assert line == ["multilog", "t", "s4096", "n3", "./main"]
    wait_files(directory, port, 5)
    wait_for(lambda: len(list((directory / "log/main").glob("@*"))) == 2, 20,
             "two files beside current")
    assert restart_log(house, directory, "MAXFILESIZE", "") == ["multilog", "t", "n3", "./main"]
    assert restart_log(house, directory, name, "") == ["multilog", "t", "./main"]


def effect_of_MAXLOGSIZES(house, directory, port):
    effect_of_MAXLOGFILES(house, directory, port, "MAXLOGSIZES")


def effect_of_PROCESSOR(house, directory, port):
    restart_log(house, directory, "MAXFILESIZE", "4096")
    restart_log(house, directory, "PROCESSOR", "tr a-z A-Z")
    before = {p.name for p in (directory / "log/main").glob("@*")}
    pid = pid_of(directory / "log")
    assert command_line(pid) == ["multilog", "t", "s4096", "!tr a-z A-Z", "./main"]
    # An empty one would not be closed.
    greeting(port)
    wait_for(lambda: (directory / "log/main/current").stat().st_size, 20, "a line")
    os.kill(pid, signal.SIGALRM)
    new = wait_for(lambda: [p for p in (directory / "log/main").glob("@*.s")
                            if p.name not in before], 20, "a processed file")
    assert b"TCPSERVER: " in new[0].read_bytes()
    restart_log(house, directory, "PROCESSOR", "")


EFFECTS = {name.removeprefix("effect_of_"): test for name, test in globals().items()
           if name.startswith("effect_of_")}


# Seen in test_a_house_of_such_services_alone.
OF_DELIVERY = {"DNSCACHEIP"}


def test_each_variable_of_the_manual_page_has_a_test():
    for program in "qmail-pop3d-conf", "qmail-delivery-conf":
        names = [name for names in variables(program).values() for name in names]
        assert set(names) <= {*EFFECTS, *OF_DELIVERY}
    assert {name for names in variables("qmail-pop3d-conf").values()
            for name in names} == set(EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_variable(running, pop3d, name):
    EFFECTS[name](running, *pop3d)


# ---- a house of such services, under ours and Debian's daemontools ----

@contextlib.contextmanager
def scanned(house, program, services, path):
    """The services there under this svscan; all of them gone at the end."""
    env = {"PATH": path}
    with open(house.home / "log/svscan", "ab") as errors:
        process = subprocess.Popen([program, services], env=env, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                   start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        parts = [p.parent.parent for p in services.rglob("supervise/ok")]
        for part in parts:
            run(program.parent / "svc", "-dx", part)
        for part in parts:
            wait_for(lambda: run(program.parent / "svok", part).returncode != 0, 30, part)


@pytest.mark.parametrize("whose", ["ours", "Debian's"])
def test_a_house_of_such_services_alone(house, whose):
    need_debian()
    program = house.home / "bin/svscan" if whose == "ours" else DEBIAN / "svscan"
    house.add_domain()
    shutil.rmtree(house.home / "service")
    (house.home / "service").mkdir(mode=0o755)
    staged = {name: made(house, f"qmail-{name}-conf", name, *ip)
              for name, *ip in (("delivery",), ("smtpd", "127.0.0.1"),
                                ("pop3d", "127.0.0.1"))}
    (staged["smtpd"] / "env/PORT").write_text(f"{house.smtp_port}\n")
    (staged["pop3d"] / "env/PORT").write_text(f"{house.pop3_port}\n")
    (staged["delivery"] / "env/DATALIMIT").write_text("200000000\n")
    (staged["delivery"] / "env/LOGLEVEL").write_text("7\n")
    (staged["delivery"] / "env/DNSCACHEIP").write_text("127.0.0.1:9\n")
    for name, path in staged.items():
        path.rename(path.with_name(name))
    with scanned(house, program, house.home / "service", f"{program.parent}:/usr/bin:/bin"):
        for port in house.smtp_port, house.pop3_port:
            wait_for(lambda: listens(port), 30, lambda: log(house.home / "service/smtpd"))
        wait_for(house.queued_listens, 30, "qmail-queued")
        house.send(b"Subject: alone\r\n\r\nhi\r\n")
        assert b"Subject: alone" in house.wait_messages(1)[0]
        client = house.pop3()
        assert client.stat()[0] == 1
        client.quit()
        wait_for(lambda: "delivery 1: success" in log(house.home / "service/delivery"),
                 20, "the log")
        pid = pid_of(house.home / "service/delivery")
        assert data_limit(pid) == "200000000"
        if os.geteuid() == 0:
            environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert sorted(e for e in environ if e and not e.startswith(b"PATH=")) == [
                b"DNSCACHEIP=127.0.0.1:9", b"LOGLEVEL=7"]
        exe = os.readlink(f"/proc/{supervise_of(house, 'smtpd')}/exe")
        assert exe == str(program.with_name("supervise"))


def deferred_until_svc_a(house, service):
    """Remote mail whose host is not there; then it is, and `svc -a` says so."""
    port = free_port()
    house.control("smtproutes", f"far.example:[127.0.0.1]:{port}\n")
    run(house.home / "bin/svc", "-h", house.home / "service" / service)
    house.send(b"Subject: once more\r\n\r\nhi\r\n", to=["x@far.example"])
    wait_for(lambda: "delivery 1: deferral" in log(house.home / "service" / service), 30,
             lambda: log(house.home / "service" / service))
    with contextlib.closing(Sink(port)) as sink:
        run(house.home / "bin/svc", "-a", house.home / "service" / service, check=True)
        # By itself it would wait for minutes.
        wait_for(lambda: sink.messages, 30, lambda: log(house.home / "service" / service))
        house.wait_queue_empty()
    assert b"Subject: once more" in sink.messages[0]


@pytest.mark.parametrize("how", ["setup", "qmail-delivery-conf"])
def test_svc_a_makes_the_send_service_try_the_queue_now(house, how):
    """Whoever has written its run file."""
    house.add_domain()
    if how != "setup":
        shutil.rmtree(house.home / "service/qmail-send")
        made(house, how, "qmail-send").rename(house.home / "service/qmail-send")
    house.start()
    deferred_until_svc_a(house, "qmail-send")


def supervise_of(house, name):
    """Who started the service."""
    pid = pid_of(house.home / "service" / name)
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(text.rsplit(")", 1)[1].split()[1])


SAMPLE = """#!/bin/sh
exec 2>&1 \\
envdir ./env \\
sh -c '
    case "$REMOTENAME" in h) H=;; p) H=p;; *) H=H;; esac
    case "$REMOTEINFO" in r) R=;; [0-9]*) R="t$REMOTEINFO";; *) R=R;; esac
    exec \\
    softlimit ${DATALIMIT+"-d$DATALIMIT"} \\
    tcpserver -vD"$H$R" ${LOCALNAME+"-l$LOCALNAME"} ${BACKLOG+"-b$BACKLOG"} \
${CONCURRENCY+"-c$CONCURRENCY"} \\
    -xtcp.cdb -- "${IP-0}" "${PORT-110}" \\
    qmail-popup "${POPUPHOST-`sed 1q ../../control/me`}" vchkpw qmail-pop3d \
"${MAILDIRNAME-Maildir}"
'
"""


@pytest.mark.parametrize("whose", ["ours", "Debian's"])
def test_a_service_as_administrators_type_it(running, whose):
    """Its run file word for word; PATH decides whose tools it finds."""
    need_debian()
    services = running.home / "typing"
    directory = services / "typed"
    (directory / "env").mkdir(parents=True)
    (directory / "log").mkdir()
    (directory / "run").write_text(SAMPLE)
    (directory / "log/run").write_text("#!/bin/sh\nexec multilog t ./main\n")
    for name in "run", "log/run":
        (directory / name).chmod(0o755)
    port = free_port()
    for name, value in ("IP", "127.0.0.1"), ("PORT", port), ("LOCALNAME", "0"):
        (directory / "env" / name).write_text(f"{value}\n")
    (directory / "tcp").write_text("127.:allow\n:deny\n")
    subprocess.run(f"{running.home}/bin/tcprules tcp.cdb tcp.tmp < tcp", shell=True,
                   check=True, cwd=directory)
    ours, debians = f"{running.home}/bin", f"{DEBIAN}:/bin"
    program = running.home / "bin/svscan" if whose == "ours" else DEBIAN / "svscan"
    path = f"{ours}:{debians}" if whose == "ours" else f"{debians}:{ours}"
    with scanned(running, program, services, path):
        wait_for(lambda: listens(port), 30, lambda: log(directory))
        pop3(port).quit()
        me = (running.home / "control/me").read_bytes().strip()
        assert greeting(port).endswith(b"@" + me + b">\r\n")
        wait_for(lambda: "tcpserver: ok" in log(directory), 20, "the log")
        server = os.readlink(f"/proc/{pid_of(directory)}/exe")
        assert server == str(program.with_name("tcpserver"))
    shutil.rmtree(services)
