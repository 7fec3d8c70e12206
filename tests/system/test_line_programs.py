"""The programs that a .qmail line calls, by themselves and by qmail-local."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from recorder import House

PROGRAMS = ["forward", "condredirect", "except", "bouncesaying", "preline"]
MESSAGE = "Subject: hello\n\nFrom here\nto there"
LINES = {"UFLINE": "From s@x Wed Nov 25 10:00:00 2026\n", "RPLINE": "Return-Path: <s@x>\n",
         "DTLINE": "Delivered-To: luis-x@example.test\n"}
ENV = {"SENDER": "s@x", "NEWSENDER": "luis-x-owner@example.test", **LINES}


@pytest.fixture
def house(bin, tmp_path):
    return House(bin, tmp_path, PROGRAMS)


def queued(house):
    got = house.queued()
    assert got.raw.decode() == LINES["DTLINE"] + MESSAGE
    return got.sender, got.recipients


def has_queued(house):
    return (house.path / "message").exists()


# ---- forward ----

def test_forward_sends_to_every_address_from_the_new_sender(house):
    done = house.run("forward", "a@b.c", "d e@f.g", text=MESSAGE, env=ENV)
    assert re.fullmatch(rb"forward: qp \d+\n", done.stderr) and done.stdout == b""
    assert queued(house) == ("luis-x-owner@example.test", ["a@b.c", "d e@f.g"])


def test_forward_begins_at_the_beginning(house, tmp_path):
    """The shell before it may have read some of the message."""
    file = tmp_path / "message.txt"
    file.write_text(MESSAGE)
    with open(file) as message:
        message.seek(9)
        done = subprocess.run([house.bin / "forward", "a@b.c"], stdin=message,
                              env={**house.env, **ENV}, capture_output=True)
    assert done.returncode == 0
    queued(house)


@pytest.mark.parametrize("program, arguments, needs", [
    ("forward", ["a@b.c"], ["NEWSENDER", "DTLINE"]),
    ("condredirect", ["a@b.c", "true"], ["SENDER", "DTLINE"]),
    ("preline", ["true"], ["UFLINE", "RPLINE", "DTLINE"]),
])
def test_a_missing_variable_is_told(house, program, arguments, needs):
    for name in needs:
        done = house.run(program, *arguments, text=MESSAGE, env={**ENV, name: None}, code=100)
        assert done.stderr == f"{program}: fatal: ${name} is not set\n".encode()
        assert not has_queued(house)


@pytest.mark.parametrize("arguments", [
    ["forward"], ["condredirect"], ["condredirect", "a@b.c"], ["except"], ["bouncesaying"],
    ["preline"], ["preline", "-d"], ["preline", "-x", "true"],
])
def test_misuse_is_permanent_and_shows_the_usage(house, arguments):
    done = house.run(*arguments, text=MESSAGE, env=ENV, code=100)
    assert re.fullmatch(f"{arguments[0]}: usage: {arguments[0]} .*\n", done.stderr.decode())


@pytest.mark.parametrize("code, want", [(31, 100), (53, 111), (71, 111), (91, 111)])
@pytest.mark.parametrize("arguments", [["forward", "a@b.c"], ["condredirect", "a@b.c", "true"]])
def test_what_the_queue_says_is_told_apart(house, arguments, code, want):
    (house.path / "exit").write_text(str(code))
    done = house.run(*arguments, text=MESSAGE, env=ENV, code=want)
    assert re.fullmatch(rf"{arguments[0]}: fatal: Unable to forward message: [^\n\\]+\n",
                        done.stderr.decode())


# ---- what asks a program ----

@pytest.mark.parametrize("arguments, codes", [
    #                                       0    1   99  100  111  killed
    (["condredirect", "a@b.c"], [99, 0, 0, 0, 111, 111]),
    (["except"], [100, 0, 0, 0, 111, 111]),
    (["bouncesaying", "No."], [100, 0, 0, 0, 111, 111]),
])
def test_the_programs_answer_decides(house, arguments, codes):
    answers = ["exit 0", "exit 1", "exit 99", "exit 100", "exit 111", "kill -KILL $$"]
    for answer, code in zip(answers, codes):
        done = house.run(*arguments, "sh", "-c", f"cat >>{house.path}/seen; {answer}",
                         text=MESSAGE, env=ENV, code=code)
        assert (house.path / "seen").read_text() == MESSAGE
        (house.path / "seen").unlink()
        assert done.stdout == (b"No.\n" if code == 100 and arguments[0] == "bouncesaying" else b"")
        assert has_queued(house) == (code == 99)
        if code == 99:
            assert re.fullmatch(rb"condredirect: qp \d+\n", done.stderr)
            assert queued(house) == ("s@x", ["a@b.c"])
        elif "KILL" in answer:
            assert done.stderr == f"{arguments[0]}: fatal: sh crashed\n".encode()


@pytest.mark.parametrize("arguments", [["condredirect", "a@b.c"], ["except"],
                                       ["bouncesaying", "No."], ["preline"]])
def test_a_program_that_cannot_be_run_leaves_it_open(house, arguments):
    done = house.run(*arguments, "./none", "x", text=MESSAGE, env=ENV, code=111)
    assert done.stderr == (f"{arguments[0]}: fatal: unable to run ./none: "
                           "No such file or directory\n").encode()
    assert done.stdout == b"" and not has_queued(house)


def test_they_stand_one_in_another(house):
    env = {**ENV, "PATH": f"{house.bin}:{os.environ['PATH']}"}
    house.run("condredirect", "a@b.c", "except", "grep", "-q", "^Subject: bye", text=MESSAGE,
              env=env, code=99)
    assert queued(house) == ("s@x", ["a@b.c"])
    house.run("condredirect", "a@b.c", "except", "grep", "-q", "^Subject: hello", text=MESSAGE,
              env=env, code=0)
    done = house.run("bouncesaying", "No hello, please.", "except", "grep", "-q", "^Subject: hello",
                     text=MESSAGE, env=env, code=0)
    assert done.stdout == b""
    done = house.run("bouncesaying", "No hello, please.", "except", "except", "grep", "-q",
                     "^Subject: hello", text=MESSAGE, env=env, code=100)
    assert done.stdout == b"No hello, please.\n"


def test_bouncesaying_alone_bounces(house):
    assert house.run("bouncesaying", "Ana has left.", code=100).stdout == b"Ana has left.\n"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([house.bin / "bouncesaying", "x"], stdin=subprocess.DEVNULL,
                              stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 100
    assert done.stderr == b"bouncesaying: unable to say why: No space left on device\n"


# ---- preline ----

@pytest.mark.parametrize("options, left_out", [
    ([], ""), (["-d"], "DTLINE"), (["-f"], "UFLINE"), (["-r"], "RPLINE"),
    (["-dfr"], "DTLINE UFLINE RPLINE"), (["-d", "-D"], ""), (["-frFR"], ""),
    (["-D", "-F", "-R", "--"], ""),
])
def test_preline_puts_the_lines_before_the_message(house, options, left_out):
    want = "".join(LINES[name] for name in LINES if name not in left_out)
    # What is left out need not be there.
    env = {name: None if name in left_out else value for name, value in ENV.items()}
    done = house.run("preline", *options, "cat", text=MESSAGE, env=env)
    assert done.stdout.decode() == want + MESSAGE and done.stderr == b""


@pytest.mark.parametrize("code", [0, 1, 75, 99, 100, 111])
def test_preline_exits_as_its_program(house, code):
    """That need not read all of the message."""
    house.run("preline", "sh", "-c", f"read line; exit {code}", text="x" * 1000000, env=ENV,
              code=code)


def test_preline_tells_a_crash(house):
    done = house.run("preline", "sh", "-c", "kill -SEGV $$", text=MESSAGE, env=ENV, code=111)
    assert done.stderr == b"preline: fatal: sh crashed\n"


def test_a_message_that_cannot_be_read_is_temporary(house):
    for arguments in ["forward", "a@b.c"], ["condredirect", "a@b.c", "true"], ["preline", "cat"]:
        folder = os.open("/", os.O_RDONLY)
        done = subprocess.run([house.bin / arguments[0], *arguments[1:]], stdin=folder,
                              env={**house.env, **ENV}, capture_output=True)
        os.close(folder)
        assert done.returncode == 111
        assert done.stderr == (f"{arguments[0]}: fatal: unable to read the message: "
                               "Is a directory\n").encode()
        assert not has_queued(house)


# ---- called by qmail-local ----

def deliver(house, bin, dotqmail, extra=""):
    home = house.path / "home"
    if not home.exists():
        home.mkdir(mode=0o700)
        for name in "tmp", "new", "cur":
            (home / "Maildir" / name).mkdir(parents=True)
    shutil.copy(bin / "qmail-local", house.bin)
    (home / ".qmail-x").write_text(dotqmail)
    (home / ".qmail-x-owner").write_text("")
    env = {**house.env, "PATH": f"{house.bin}:{os.environ['PATH']}"}
    if os.geteuid() == 0:
        for path in house.path, house.path / "home", *house.path.rglob("*"):
            os.chown(path, 45671, 45671)

    def become():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(45671)
            os.setuid(45671)
    return subprocess.run(
        [house.bin / "qmail-local", "--", "luis", home, "luis-x", "-", "x", "example.test", "s@x",
         "./Mailbox"], input=MESSAGE.encode(), env=env, capture_output=True, preexec_fn=become)


@pytest.fixture
def lines(bin):
    """A house that another user can reach."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="valija-lines-", dir="/var/tmp"))
    place.chmod(0o755)
    yield House(bin, place, PROGRAMS)
    shutil.rmtree(place)


def test_qmail_local_runs_them(lines, bin):
    done = deliver(lines, bin, "|forward a@b.c\n./Maildir/\n")
    assert done.returncode == 0, done
    assert queued(lines) == ("luis-x-owner@example.test", ["a@b.c"])
    new = lines.path / "home/Maildir/new"
    assert len(list(new.iterdir())) == 1
    # What follows does not count.
    done = deliver(lines, bin, "|condredirect a@b.c grep -q '^Subject: hello'\n./Maildir/\n")
    assert done.returncode == 0, done
    assert queued(lines) == ("s@x", ["a@b.c"])
    assert len(list(new.iterdir())) == 1
    done = deliver(lines, bin, "|condredirect a@b.c grep -q '^Subject: bye'\n./Maildir/\n")
    assert done.returncode == 0, done
    assert not has_queued(lines) and len(list(new.iterdir())) == 2
    done = deliver(lines, bin, "|bouncesaying 'Please write a subject.' except grep -q '^Subject: .'\n"
                               "./Maildir/\n")
    assert done.returncode == 0 and len(list(new.iterdir())) == 3
    done = deliver(lines, bin, "|bouncesaying 'Ana has left the company.'\n./Maildir/\n")
    assert done.returncode == 100 and b"Ana has left the company.\n" in done.stdout + done.stderr
    assert len(list(new.iterdir())) == 3
    done = deliver(lines, bin, "|preline -f cat >copy\n")
    assert done.returncode == 0
    text = (lines.path / "home/copy").read_text()
    assert text == "Return-Path: <s@x>\nDelivered-To: luis-x@example.test\n" + MESSAGE


def test_a_program_missing_in_a_line_defers(lines, bin):
    done = deliver(lines, bin, "|condredirect a@b.c no-such-program\n./Maildir/\n")
    assert done.returncode == 111
    assert not list((lines.path / "home/Maildir/new").iterdir())
