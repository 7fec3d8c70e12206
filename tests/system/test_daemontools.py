"""The programs that become another one, and the label tools: ours do what
Debian's do, for the same arguments."""

import os
import resource
import signal
import subprocess
import time

import pytest

from daemontools import DEBIAN, exists, keeper, run  # noqa: F401 (fixture)
from waiting import wait_for


def both(bin, name, *args, **kw):
    return run(bin / name, *args, **kw), run(DEBIAN / name, *args, **kw)


def same(bin, name, *args, **kw):
    """Exit code and output are the same; so is whether it complains."""
    ours, theirs = both(bin, name, *args, **kw)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert bool(ours.stderr) == bool(theirs.stderr)
    return ours


# ---- misuse ----

@pytest.mark.parametrize("args", [("readproctitle",), ("readproctitle", "....")], ids=" ".join)
def test_misuse_of_readproctitle_is_told(bin, args):
    ours, theirs = both(bin, *args)
    assert ours.returncode == theirs.returncode == 100
    assert ours.stderr.startswith(b"readproctitle: usage: ")  # the original says nothing


@pytest.mark.parametrize("args", [("svok", ".", "."), ("supervise", ".", "."),
                                  ("svscan", ".", "."), ("svscanboot", ".", ".")], ids=" ".join)
def test_arguments_too_many_are_misuse(keeper, bin, args):
    # The original's svok and svscan ignore them: a typing error in /.
    result = run(bin / args[0], *args[1:], cwd=keeper.dir)
    assert result.returncode == 100
    assert b"usage" in result.stderr


def test_complaints_name_program_object_and_reason(keeper, bin):
    assert run(bin / "setuidgid", "no-such-account", "true").stderr == \
        b"setuidgid: fatal: unknown account no-such-account\n"
    assert run(bin / "envdir", "/no/such", "true").stderr == \
        b"envdir: fatal: unable to read directory /no/such: No such file or directory\n"
    # A folder of PATH that this user may not search would be the reason.
    assert run(bin / "softlimit", "no-such-program", env={"PATH": "/usr/bin:/bin"}).stderr == \
        b"softlimit: fatal: unable to run no-such-program: No such file or directory\n"


# ---- envdir ----

def env_of(bin_dir, directory, env):
    result = run(bin_dir / "envdir", directory, "/usr/bin/env", "-0", env=env)
    assert result.returncode == 0, result.stderr
    return sorted(result.stdout.split(b"\0")[:-1])


@pytest.mark.parametrize("content", [
    b"", b"\n", b"value", b"value\n", b"value \t \nsecond\n", b" inner space \n", b"a\0b\0",
    b"\0", b"\xff\xfe", b"x" * 5000, b" \t", b"\r\n",
])
def test_envdir_sets_what_the_file_says(keeper, bin, content):
    (keeper.dir / "e").mkdir()
    (keeper.dir / "e" / "NAME").write_bytes(content)
    (keeper.dir / "e" / "OTHER").write_bytes(b"1\n")
    (keeper.dir / "e" / ".hidden").write_bytes(b"no\n")
    env = {"NAME": "before", "KEPT": "yes", "PATH": "/usr/bin"}
    assert env_of(bin, keeper.dir / "e", env) == env_of(DEBIAN, keeper.dir / "e", env)


def test_envdir_refuses_what_it_cannot_read(keeper, bin):
    (keeper.dir / "e" / "sub").mkdir(parents=True)
    assert same(bin, "envdir", keeper.dir / "e", "true").returncode == 111


# ---- setuidgid, envuidgid ----

SHOW_IDS = ("sh", "-c", "grep -E '^(Uid|Gid|Groups):' /proc/self/status")


@pytest.mark.root
@pytest.mark.parametrize("account", ["nobody", "daemon", "mail", "root"])
def test_setuidgid_leaves_no_group_behind(bin, account):
    assert same(bin, "setuidgid", account, *SHOW_IDS).returncode == 0


@pytest.mark.root
def test_setuidgid_takes_numbers(bin):
    result = run(bin / "setuidgid", ":61234:61235", *SHOW_IDS)
    assert result.stdout.split() == (b"Uid:" + b" 61234" * 4 + b" Gid:" + b" 61235" * 4 +
                                     b" Groups: 61235").split()


@pytest.mark.parametrize("account", [":", ":1", "::", ":1:", "::1", ":1:2:3", ":x:1", ":-1:1",
                                     ":1:4294967295", ":4294967296:1", ": 1:1"])
def test_numbers_that_are_none_are_no_account(bin, account):
    for name in ("setuidgid", "envuidgid"):
        result = run(bin / name, account, "true")
        assert result.returncode == 111
        assert b"unknown account" in result.stderr


def test_envuidgid_tells_the_numbers(bin):
    for account in ("root", "nobody"):
        same(bin, "envuidgid", account, "sh", "-c", "echo $UID $GID", env={"PATH": "/usr/bin:/bin"})
    result = run(bin / "envuidgid", ":12:34", "env", env={"PATH": "/usr/bin:/bin"})
    assert b"UID=12\n" in result.stdout and b"GID=34\n" in result.stdout


# ---- softlimit ----

@pytest.mark.parametrize("options", [
    ("-a", "300000000"), ("-c", "0"), ("-c=",), ("-d", "80000000"), ("-f", "1024"), ("-l", "4096"),
    ("-m", "300000000"), ("-o", "20"), ("-o", "99999999"), ("-o", "="), ("-p", "5000"),
    ("-r", "4096"), ("-s", "1000000"), ("-t", "5"), ("-o50", "-o40"), ("-c0", "-t7", "-r8192"),
    ("-f5", "--"),
], ids=" ".join)
def test_softlimit_sets_the_same_limits(bin, options):
    result = same(bin, "softlimit", *options, "cat", "/proc/self/limits")
    assert result.returncode == 0


# ---- setlock ----

def hold(keeper, program, path):
    process = keeper.start(program, path, "sh", "-c", "echo held; exec sleep 1000",
                           stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize("holder", ["ours", "debian"])
def test_setlock_keeps_the_other_out(keeper, bin, holder):
    path = keeper.dir / "lock"
    process = hold(keeper, (bin if holder == "ours" else DEBIAN) / "setlock", path)
    assert same(bin, "setlock", "-n", path, "true").returncode == 111
    assert same(bin, "setlock", "-nx", path, "false").returncode == 0
    assert same(bin, "setlock", "-nxX", path, "false").returncode == 111
    waiting = keeper.start(bin / "setlock", "-nN", path, "echo", "mine", stdout=subprocess.PIPE)
    assert waiting.poll() is None
    process.kill()
    process.wait()
    assert waiting.stdout.read() == b"mine\n"
    assert waiting.wait(10) == 0
    assert same(bin, "setlock", "-n", path, "sh", "-c", "exit 3").returncode == 3


def test_setlock_creates_the_file_for_its_owner_only(keeper, bin):
    run(bin / "setlock", keeper.dir / "new", "true")
    assert (keeper.dir / "new").stat().st_mode & 0o777 == 0o600


# ---- pgrphack, fghack ----

def test_pgrphack_runs_in_a_group_of_its_own(bin):
    code = "import os; print(os.getpid() == os.getpgrp() == os.getsid(0))"
    result = same(bin, "pgrphack", "/usr/bin/python3", "-c", code)
    assert result.stdout == b"True\n"


@pytest.mark.parametrize("script", ["exit 0", "exit 7", "kill -9 $$", "echo x; exit 1"])
def test_fghack_tells_how_the_program_ended(bin, script):
    same(bin, "fghack", "sh", "-c", script)


def test_fghack_waits_for_what_went_into_the_background(keeper, bin):
    begun = time.monotonic()
    result = run(bin / "fghack", "sh", "-c", "(sleep 0.4; echo late) & exit 5")
    assert time.monotonic() - begun >= 0.4
    assert (result.returncode, result.stdout) == (5, b"late\n")


# ---- readproctitle ----

def title_of(process):
    with open(f"/proc/{process.pid}/cmdline", "rb") as file:
        return file.read()


def test_readproctitle_shows_the_last_bytes(keeper, bin):
    for text in (b"", b"ab", b"fatal error\nwarn\0ing\n", b"x" * 5000 + b"end"):
        titles = []
        for program in (bin / "readproctitle", DEBIAN / "readproctitle"):
            process = keeper.start(program, "service", "errors:", "." * 40, stdin=subprocess.PIPE)
            process.stdin.write(text)
            process.stdin.flush()
            last = text.replace(b"\0", b"")[-37:]
            wait_for(lambda: title_of(process).endswith(last + b"\0"), 10, "the title")
            titles.append(title_of(process).split(b"\0", 1)[1])
            process.stdin.close()
            assert process.wait(10) == 0
        assert titles[0] == titles[1]


# ---- labels ----

def test_tai64n_labels_lines_as_the_original_does(bin):
    text = b"one\n\ntwo \x00 bytes\nlast without end"
    ours, theirs = both(bin, "tai64n", input=text)
    assert ours.returncode == theirs.returncode == 0
    for a, b, line in zip(ours.stdout.split(b"\n"), theirs.stdout.split(b"\n"), text.split(b"\n")):
        assert a[25:] == b[25:] == b" " + line
        assert a[:1] == b"@" and len(a[:25].strip(b"@0123456789abcdef")) == 0
        # Both mean now: the seconds are at most a few apart.
        assert abs(int(a[1:17], 16) - int(b[1:17], 16)) <= 5


@pytest.mark.parametrize("zone", ["UTC", "US/Pacific", "Europe/Madrid", "Asia/Kolkata"])
def test_tai64nlocal_shows_the_same_local_time(bin, zone):
    lines = (b"@4000000037c219bf2ef02e94 mark\n" b"plain\n" b"\n"
             b"@400000005e0b9c0a00000000\n" b"@4000000100000000000003e8 after 2106\n"
             b"@400000004b3d3b8a3b9ac9ff" + b"x" * 20000 + b"\n" b"no end")
    same(bin, "tai64nlocal", input=lines, env={"TZ": zone})


def test_tai64nlocal_leaves_what_is_no_label(bin):
    # The original prints nonsense for some of these, and crashes on others.
    lines = b"@abc hello\n@4000000037C219BF2EF02E94 upper\n@40000000\n@"
    assert run(bin / "tai64nlocal", input=lines).stdout == lines


def test_what_tai64n_writes_tai64nlocal_reads(bin):
    stamped = run(DEBIAN / "tai64n", input=b"x\n").stdout
    shown = run(bin / "tai64nlocal", input=stamped, env={"TZ": "UTC"}).stdout
    assert abs(time.mktime(time.strptime(shown[:19].decode(), "%Y-%m-%d %H:%M:%S")) -
               time.mktime(time.gmtime())) < 30
