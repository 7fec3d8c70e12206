"""Exit codes: what the manual pages say, and what Debian's programs say."""

import os
import socket
import subprocess
import threading

import pytest

from daemontools import DEBIAN, keeper, run  # noqa: F401 (fixture)

# Folders of PATH that this user may not search would be another reason.
PATH = {"PATH": "/usr/bin:/bin"}
NOWHERE = "/no/such/directory"

MISUSED = [
    ("envdir", 111), ("envdir", 111, "/"), ("envdir", 111, NOWHERE, "true"),
    ("envdir", 111, "no-such-program", "true"),
    ("envuidgid", 100), ("envuidgid", 100, "root"),
    ("envuidgid", 111, "no-such-account", "true"), ("envuidgid", 111, "root", "no-such-program"),
    ("fghack", 100), ("fghack", 111, "no-such-program"), ("fghack", 111, "sh", "-c", "kill -9 $$"),
    ("multilog", 111, f"{NOWHERE}/log"), ("multilog", 111, "/dev/null/log"),
    ("pgrphack", 100), ("pgrphack", 111, "no-such-program"),
    ("setlock", 100), ("setlock", 100, "x"), ("setlock", 100, "-q", "x", "true"),
    ("setlock", 111, f"{NOWHERE}/file", "true"), ("setlock", 111, "-X", f"{NOWHERE}/file", "true"),
    ("setlock", 0, "-x", f"{NOWHERE}/file", "true"), ("setlock", 111, "/dev/null", "no-such-program"),
    ("setuidgid", 100), ("setuidgid", 100, "root"), ("setuidgid", 111, "no-such-account", "true"),
    ("softlimit", 100), ("softlimit", 100, "-q", "true"), ("softlimit", 100, "-m", "true"),
    ("softlimit", 100, "-mx", "true"), ("softlimit", 100, "-m5x", "true"),
    ("softlimit", 100, "-m-5", "true"), ("softlimit", 111, "no-such-program"),
    ("supervise", 100), ("supervise", 111, NOWHERE),
    ("svc", 100, "-q"), ("svc", 100, "-q", "."), ("svc", 0, "-u", NOWHERE), ("svc", 0, "-u", "/"),
    ("svok", 100), ("svok", 100, "/"), ("svok", 111, NOWHERE),
    ("svscan", 111, NOWHERE),
    ("argv0", 100), ("argv0", 100, "sh"), ("argv0", 111, "no-such-program", "x"),
    ("fixcrio", 100), ("fixcrio", 111, "no-such-program"),
    ("recordio", 100), ("recordio", 111, "no-such-program"),
    ("tcpclient", 100), ("tcpclient", 100, "-i", "x", "127.0.0.1", "1", "true"),
    ("tcpclient", 111, "-RHl0", "127.0.0.1", "no-such-port", "true"),
    ("tcprules", 100), ("tcprules", 100, "cdb"), ("tcprules", 111, f"{NOWHERE}/cdb", f"{NOWHERE}/tmp"),
    ("tcprulescheck", 100), ("tcprulescheck", 111, NOWHERE), ("tcprulescheck", 111, "/dev/null"),
    ("tcpserver", 100), ("tcpserver", 100, "127.0.0.1", "0"),
    ("tcpserver", 111, "192.0.2.1", "0", "true"),
    ("tcpserver", 111, "127.0.0.1", "no-such-port", "true"),
]
# Ours only, or the original is silent, or takes no notice.
MISUSED_OURS = [
    ("readproctitle", 111, "....."), ("svok", 100, ".", "."),
    ("supervise", 100, ".", "."), ("svscan", 100, ".", "."), ("svscanboot", 100, ".", "."),
    ("setuidgid", 111, ":1:2:3", "true"), ("tcprules", 100, "cdb", "tmp"),
    ("tcplookup", 100), ("tcplookup", 100, "peer"), ("tcplookup", 100, "-q", "host", "x"),
    ("tcpclient", 100, "-RHl0", "-px", "127.0.0.1", "1", "true"),
]


@pytest.mark.parametrize("case", MISUSED, ids=lambda case: " ".join(map(str, case)))
def test_misuse_and_what_cannot_be_done(keeper, bin, case):
    name, code, *args = case
    ours, theirs = (run(folder / name, *args, cwd=keeper.dir, env=PATH) for folder in (bin, DEBIAN))
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert ours.returncode == code
    assert bool(ours.stderr) == bool(theirs.stderr)


@pytest.mark.parametrize("case", MISUSED_OURS, ids=lambda case: " ".join(map(str, case)))
def test_misuse_where_the_original_differs(keeper, bin, case):
    name, code, *args = case
    (keeper.dir / "rules").write_text("x-y:deny\n")
    # A directory can be opened, not read.
    stdin = os.open(keeper.dir / "rules" if name == "tcprules" else keeper.dir, os.O_RDONLY)
    done = run(bin / name, *args, cwd=keeper.dir, env=PATH, stdin=stdin)
    os.close(stdin)
    assert done.returncode == code
    assert done.stderr.startswith(name.encode() + b": ") or done.stderr.startswith(b"usage: ")


# How they are called to become a program; None stands for it.
BECOMES = {
    "envdir": (".", None), "envuidgid": ("root", None), "fghack": (None,), "pgrphack": (None,),
    "setlock": ("lock", None), "softlimit": ("-o50", None), "argv0": ("sh", "name"),
    "fixcrio": (None,), "recordio": (None,),
}


@pytest.mark.parametrize("code", [0, 1, 37, 100, 111, 255])
@pytest.mark.parametrize("name", BECOMES)
def test_the_code_of_the_program_that_it_becomes(keeper, bin, name, code):
    program = ["-c", f"exit {code}"] if name == "argv0" else ["sh", "-c", f"exit {code}"]
    args = [word for word in BECOMES[name] if word] + program
    (keeper.dir / "empty").mkdir()
    codes = {run(folder / name, *args, cwd=keeper.dir / "empty", env=PATH).returncode
             for folder in (bin, DEBIAN)}
    assert codes == {code}


@pytest.mark.root
@pytest.mark.parametrize("code", [0, 37, 255])
def test_the_code_of_the_program_behind_setuidgid(bin, code):
    codes = {run(folder / "setuidgid", "nobody", "sh", "-c", f"exit {code}", env=PATH).returncode
             for folder in (bin, DEBIAN)}
    assert codes == {code}


def test_the_code_of_the_program_behind_setuidgid_by_anyone(bin):
    me = f":{os.geteuid()}:{os.getegid()}"
    assert run(bin / "setuidgid", me, "sh", "-c", "exit 37", env=PATH).returncode == 37


SUCCESSFUL = [
    ("multilog", 0, "./log"), ("multilog", 0), ("readproctitle", 0, "....."), ("svc", 0),
    ("svc", 0, "-u"), ("svstat", 0), ("svstat", 0, "/", NOWHERE), ("tai64n", 0),
    ("tai64nlocal", 0), ("addcr", 0), ("delcr", 0),
]


@pytest.mark.parametrize("case", SUCCESSFUL, ids=lambda case: " ".join(map(str, case)))
def test_success_is_0(keeper, bin, case):
    name, code, *args = case
    for folder in bin, DEBIAN:
        place = keeper.dir / ("ours" if folder == bin else "debian")
        place.mkdir()
        done = run(folder / name, *args, cwd=place, input=b"one\ntwo\n")
        assert (done.returncode, done.stderr) == (code, b"") or name == "multilog" and not args


UNWRITABLE = [
    ("svstat", 111, "."), ("tai64n", 111), ("tai64nlocal", 111), ("addcr", 111), ("delcr", 111),
    ("tcplookup", 111, "host", "127.0.0.1"),
]


@pytest.mark.parametrize("case", UNWRITABLE, ids=lambda case: " ".join(map(str, case)))
def test_output_that_cannot_be_written(bin, case):
    name, code, *args = case
    with open("/dev/full", "wb") as full:
        # svstat of the original does not look.
        for folder in (bin,) if name in ("svstat", "tcplookup") else (bin, DEBIAN):
            done = subprocess.run([folder / name, *args], input=b"line\n", stdout=full,
                                  stderr=subprocess.PIPE)
            assert done.returncode == code
            assert name in ("svstat", "tcplookup") or done.stderr == b""


def test_svscanboot_that_cannot_begin(bin):
    """Its complaints are in the output of ps."""
    assert run(bin / "svscanboot", NOWHERE).returncode == 111


@pytest.mark.parametrize("name", ["date@", "finger@", "http@", "who@"])
def test_tools_that_always_say_0(bin, name):
    """Also when nobody is there; in a network of its own, where nobody is."""
    script = "ip link set lo up; exec \"$@\""
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    for folder in bin, DEBIAN:
        done = run(*unshare, "sh", "-c", script, "sh", folder / name, "127.0.0.3")
        assert done.returncode == 0 and b"refused" in done.stderr


@pytest.fixture
def greeter():
    """A server that says hello and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def talk():
            while True:
                try:
                    with listening.accept()[0] as connection:
                        connection.sendall(b"hello\n")
                except OSError:
                    return
        thread = threading.Thread(target=talk)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("name", ["mconnect", "tcpcat"])
def test_clients_without_a_server_and_with_one(bin, greeter, name):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        for folder in bin, DEBIAN:
            done = run(folder / name, "127.0.0.1", greeter)
            assert (done.returncode, done.stdout) == (0, b"hello\n")
            assert run(folder / name, "127.0.0.1", held.getsockname()[1]).returncode == 111


def test_tcplookup_answers_what_it_is_asked(bin):
    for args, said in (
            (("service", "smtp"), b"25\n"), (("service", "no-such-service"), b""),
            (("host", "127.0.0.1"), b"127.0.0.1\n"), (("host", "no.such.host.invalid"), b""),
            (("-hl", "peer", "127.0.0.1", "25", "127.0.0.1", "4711"), b"l localhost\nh localhost\n"),
            (("-h", "-p", "peer", "127.0.0.1", "25", "127.0.0.1", "4711"), b"h localhost\n"),
            (("-r", "-t1", "peer", "127.0.0.1", "25", "127.0.0.1", "4711"), b""),
            (("peer", "127.0.0.1", "25", "127.0.0.1", "4711"), b"")):
        done = run(bin / "tcplookup", *args)
        assert (done.returncode, done.stdout, done.stderr) == (0, said, b""), args
