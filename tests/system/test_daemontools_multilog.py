"""multilog: the same lines through the same script leave the same directory
as Debian's, and either program carries on where the other stopped."""

import collections
import fcntl
import glob
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from daemontools import DEBIAN, cpu_ticks, keeper, run  # noqa: F401
from multilogs import all_bytes, compare, feed, files_of, packets, picture, text_lines
from waiting import wait_for

# ---- the script ----

@pytest.mark.parametrize("script", [
    ("./main",), ("t", "./main"), ("t", "-*", "+* fatal *", "./main"),
    ("-*", "+fatal*", "./main", "+*", "./all"), ("t", "e", "./main"), ("-*", "e", "./main"),
    ("s5000", "./main"), ("s4096", "n3", "./main"), ("t", "n2", "s4096", "./main"),
    ("-* status*", "=status", "./main"), ("t", "=a", "-*", "=b"), ("e",), ("+", "-", "./m"),
    ("s4096", "!tr a-z A-Z", "./up", "!cat", "./plain"),
    ("s4096", "!n=$(cat <&4); echo $((n+1)) >&5; cat; echo $n", "./counted"),
    ("-*a*b*", "./m"), ("-**", "./m"), ("e", "=s", "./m", "./n"),
], ids=lambda script: " ".join(script))
def test_a_script_leaves_the_same_directories(keeper, bin, script):
    compare(keeper, bin, script, text_lines(600, repr(script)))


@pytest.mark.parametrize("lines", [
    [], [b"\n"], [b"no end"], [b"\n\n\n".replace(b"\n\n\n", b"\n")] * 3, [b"x" * 1000 + b"\n"],
    [b"x" * 999 + b"\n"], [b"x" * 1001 + b"\n"], [b"x" * 200 + b"\n"], [b"x" * 201 + b"\n"],
    [b"x" * 4096 + b"\n"], [b"x" * 4095 + b"\n"], [b"x" * 20000 + b"\n", b"y\n"],
    [b"x" * 2095 + b"\n", b"y\n"], [b"x" * 2096 + b"\n", b"y\n"], [b"\0\n"],
], ids=lambda lines: f"{len(lines)}x{len(lines[0]) if lines else 0}")
def test_lines_of_every_length(keeper, bin, lines):
    compare(keeper, bin, ("s4096", "e", "=st", "./main"), lines, "plain")
    compare(keeper, bin, ("t", "s4096", "e", "=st", "-*y", "./main"), lines, "label")


def test_labels_tell_the_time_in_the_format_of_tai64n(keeper, bin):
    feed(keeper, bin / "multilog", ("t", "./main"), [b"one\n"], keeper.dir / "d")
    line = (keeper.dir / "d/main/current").read_bytes()
    shown = run(DEBIAN / "tai64nlocal", input=line, env={"TZ": "UTC"}).stdout.decode()
    written = time.strptime(shown[:19], "%Y-%m-%d %H:%M:%S")
    assert abs(time.mktime(written) - time.mktime(time.gmtime())) < 10
    assert shown[29:] == " one\n"


def test_an_argument_that_means_nothing_is_told(keeper, bin):
    # The original ignores it without a word.
    result = run(bin / "multilog", "x", "./main", cwd=keeper.dir, input=b"a\n")
    assert result.returncode == 0
    assert result.stderr == b"multilog: warning: ignored: x\n"


def test_an_exclamation_mark_alone_takes_the_processor_back(keeper, bin):
    # The original runs an empty command, which drops every full file.
    lines = [b"abc\n"] * 2000
    feed(keeper, bin / "multilog", ("s4096", "!tr a-z A-Z", "./up", "!", "./plain"), lines,
         keeper.dir / "d")
    assert all_bytes(keeper.dir / "d/plain") == b"".join(lines)


# ---- old files ----

@pytest.mark.parametrize("number", [2, 3, 7])
def test_old_files_are_removed_the_oldest_first(keeper, bin, number):
    for who, program in (("ours", bin), ("debian", DEBIAN)):
        main = keeper.dir / who / "main"
        main.mkdir(parents=True)
        for n in range(10, 30):
            (main / f"@4000000037c219bf2ef02e{n}.{'su'[n % 2]}").write_bytes(b"old\n")
        (main / "@foo").write_bytes(b"not counted\n")
        feed(keeper, program / "multilog", ("s4096", f"n{number}", "./main"),
             text_lines(300, 1), keeper.dir / who)
    assert picture(keeper.dir / "ours") == picture(keeper.dir / "debian")


def test_alrm_changes_files_unless_current_is_empty(keeper, bin):
    for program in (bin, DEBIAN):
        main = keeper.dir / f"main-{program == bin}"
        process = keeper.start(program / "multilog", main, stdin=subprocess.PIPE)
        wait_for((main / "current").exists, 10, "current")
        process.send_signal(signal.SIGALRM)
        wait_for(lambda: pending(process.pid) == 0, 10, "the signal to arrive")
        process.stdin.write(b"one\n")
        process.stdin.flush()
        wait_for(lambda: (main / "current").stat().st_size, 10, "the line")
        process.send_signal(signal.SIGALRM)
        wait_for(lambda: len(list(main.glob("@*.s"))) == 1, 10, "an old file")
        wait_for(lambda: (main / "current").exists(), 10, "a new current")
        process.send_signal(signal.SIGALRM)
        process.stdin.close()
        assert process.wait(10) == 0
        assert [p.read_bytes() for p in main.glob("@*.s")] == [b"one\n"]
        assert (main / "current").read_bytes() == b""


# ---- beginning and end ----

@pytest.mark.parametrize("first,second", [("ours", "debian"), ("debian", "ours"), ("ours", "ours")])
def test_one_log_has_one_writer(keeper, bin, first, second):
    programs = {"ours": bin, "debian": DEBIAN}
    process = keeper.start(programs[first] / "multilog", keeper.dir / "main", stdin=subprocess.PIPE)
    wait_for((keeper.dir / "main/current").exists, 10, "current")
    read, write = os.pipe()
    os.write(write, b"line\n")
    result = run(programs[second] / "multilog", keeper.dir / "main", stdin=read)
    assert result.returncode == 111 and b"unable to lock" in result.stderr
    assert os.read(read, 100) == b"line\n"  # nothing was read
    os.close(read)
    os.close(write)
    process.stdin.close()
    assert process.wait(10) == 0


def test_term_ends_at_the_next_newline_and_leaves_the_rest(keeper, bin):
    for program in (bin, DEBIAN):
        main = keeper.dir / f"main-{program == bin}"
        read, write = os.pipe()
        process = keeper.start(program / "multilog", main, stdin=read)
        os.write(write, b"one\npart")
        wait_for(lambda: (main / "current").exists() and (main / "current").stat().st_size, 10,
                 "the line")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: pending(process.pid) == 0, 10, "the signal to arrive")
        assert process.poll() is None
        os.write(write, b"ly\nthe rest\n")
        assert process.wait(10) == 0
        assert (main / "current").read_bytes() == b"one\npartly\n"
        assert (main / "current").stat().st_mode & 0o777 == 0o744
        assert os.read(read, 100) == b"the rest\n"
        os.close(read)
        os.close(write)


def pending(pid):
    with open(f"/proc/{pid}/status") as file:
        return sum(int(line.split()[1], 16) for line in file
                   if line.startswith(("SigPnd", "ShdPnd")))


def test_term_between_lines_ends_it_at_once(keeper, bin):
    process = keeper.start(bin / "multilog", keeper.dir / "main", stdin=subprocess.PIPE)
    wait_for((keeper.dir / "main/current").exists, 10, "current")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.parametrize("first,second", [("ours", "debian"), ("debian", "ours"), ("ours", "ours")])
def test_a_log_that_ended_in_order_is_carried_on(keeper, bin, first, second):
    programs = {"ours": bin, "debian": DEBIAN}
    feed(keeper, programs[first] / "multilog", ("./main",), [b"one\n"], keeper.dir / "d")
    feed(keeper, programs[second] / "multilog", ("./main",), [b"two\n"], keeper.dir / "d")
    assert (keeper.dir / "d/main/current").read_bytes() == b"one\ntwo\n"
    assert not list((keeper.dir / "d/main").glob("@*"))


# ---- outages ----

OUTAGES = {
    "while writing": {"current": (0o644, b"cut")},
    "nothing written": {"current": (0o644, b"")},
    "before the new current": {"previous": (0o744, b"all\n"), "state": (0o644, b"5")},
    "while processing": {"current": (0o644, b""), "previous": (0o744, b"all\n"),
                         "processed": (0o644, b"A"), "newstate": (0o644, b""),
                         "state": (0o644, b"5")},
    "after processing": {"current": (0o644, b""), "previous": (0o744, b"all\n"),
                         "processed": (0o744, b"ALL\n"), "newstate": (0o644, b"6"),
                         "state": (0o644, b"5")},
    "old files stay": {"current": (0o644, b"cut"),
                       "@4000000037c219bf2ef02e94.s": (0o744, b"old\n")},
}


@pytest.mark.parametrize("name", OUTAGES)
def test_what_an_outage_has_left_is_set_aside_in_the_same_way(keeper, bin, name):
    for who, program in (("ours", bin), ("debian", DEBIAN)):
        main = keeper.dir / who / "main"
        main.mkdir(parents=True)
        for file, (mode, content) in OUTAGES[name].items():
            (main / file).write_bytes(content)
            (main / file).chmod(mode)
        feed(keeper, program / "multilog", ("./main",), [b"after\n"], keeper.dir / who)
    assert picture(keeper.dir / "ours") == picture(keeper.dir / "debian")


PACKET_LINES = 10
SCRIPT = ("t", "s4096", "n1000", "!tr a-z A-Z", "./main")
# Before main(), or unable to matter.
DULL = {"execve", "brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64",
        "readlinkat", "readlink", "mprotect", "getrandom", "exit_group", "rt_sigreturn"}


def full_pipe():
    """All the input, in a pipe, as packets: a read takes one of them."""
    read, write = packets()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
    for n in range(0, 300, PACKET_LINES):
        os.write(write, b"".join(b"line %d\n" % i for i in range(n, n + PACKET_LINES)))
    os.close(write)
    return read


def traced(keeper, bin, cwd, read, *options):
    """Run multilog under strace; what strace wrote."""
    trace = keeper.dir / "trace"
    cwd.mkdir(exist_ok=True)
    subprocess.run(["strace", "-qq", "-o", trace, *options, bin / "multilog", *SCRIPT],
                   stdin=read, cwd=cwd, stderr=subprocess.DEVNULL)
    return trace.read_text()


def judge(main, label):
    numbers = []
    for path in files_of(main):
        assert path.suffix != ".s" or path.stat().st_mode & 0o777 == 0o744, label
        for line in path.read_bytes().lower().split(b"\n")[:-1]:
            match = re.fullmatch(rb"@[0-9a-f]{24} line (\d+)", line)
            assert match, (label, line)
            numbers.append(int(match[1]))
    assert numbers == sorted(set(numbers)), label
    assert len(numbers) >= 300 - PACKET_LINES, label
    left = {p.name for p in main.iterdir() if p.name[0] != "@"}
    assert left == {"current", "lock", "state"}, (label, left)


def experiments(keeper, bin):
    read = full_pipe()
    counts = collections.Counter(
        line.split("(", 1)[0] for line in traced(keeper, bin, keeper.dir / "r", read).splitlines())
    os.close(read)
    judge(keeper.dir / "r/main", "undisturbed")
    return [(call, n + 1) for call in sorted(counts) if call.isidentifier() and call not in DULL
            for n in range(counts[call])]


def kill_at(keeper, bin, call, n):
    label = f"{call} {n}"
    place = keeper.dir / label.replace(" ", "-")
    read = full_pipe()
    trace = traced(keeper, bin, place, read, f"--inject={call}:signal=KILL:when={n}")
    assert "killed by SIGKILL" in trace, label
    # The processor of a killed multilog may still be writing.
    wait_for(lambda: not holders(place / "main/processed"), 10, "the processor to end")
    assert run(bin / "multilog", *SCRIPT, stdin=read, cwd=place).returncode == 0
    os.close(read)
    judge(place / "main", label)
    shutil.rmtree(place)


def holders(path):
    """Processes that have this file open."""
    found = []
    for fd in glob.glob("/proc/[0-9]*/fd/1"):
        try:
            found += [fd] if os.readlink(fd) == str(path) else []
        except OSError:
            pass
    return found


def test_a_sample_of_kills_at_syscalls_loses_one_read_at_most(keeper, bin):
    for call, n in random.Random(5).sample(experiments(keeper, bin), 40):
        kill_at(keeper, bin, call, n)


@pytest.mark.soak
def test_a_kill_at_any_syscall_loses_one_read_at_most(keeper, bin):
    for call, n in experiments(keeper, bin):
        kill_at(keeper, bin, call, n)


# ---- trouble ----

def test_it_waits_while_it_cannot_write_and_loses_nothing(keeper, bin):
    """RLIMIT_FSIZE stands for a full disk: the write fails, then works."""
    main = keeper.dir / "main"
    process = keeper.start(bin / "multilog", main, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for((main / "current").exists, 10, "current")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    lines = b"".join(b"line %d\n" % n for n in range(1000))
    process.stdin.write(lines)
    process.stdin.flush()
    assert b"unable to write to current" in process.stderr.readline()
    assert process.poll() is None and cpu_ticks(process.pid) < 10
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    process.stdin.close()
    assert process.wait(20) == 0
    assert (main / "current").read_bytes() == lines


@pytest.mark.root
def test_a_full_disk_makes_it_wait(keeper, bin):
    disk = keeper.dir / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "valija-test", disk], check=True)
    try:
        filler = disk / "filler"
        with open(filler, "wb") as file:
            file.write(b"x" * 128 * 1024)
        process = keeper.start(bin / "multilog", "t", "s50000", "n100", disk / "main",
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = [b"line %d " % n + b"x" * 50 for n in range(2000)]
        feeder = keeper.start("/usr/bin/python3", "-c",
                              "import sys\nfor n in range(2000):\n"
                              " sys.stdout.write('line %d ' % n + 'x' * 50 + '\\n')\n",
                              stdout=process.stdin)
        process.stdin.close()
        assert b"unable to" in process.stderr.readline()
        assert process.poll() is None
        filler.unlink()
        assert process.wait(30) == 0
        assert feeder.wait(10) == 0
        got = all_bytes(disk / "main").split(b"\n")[:-1]
        assert [line[26:] for line in got] == lines
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_processor_that_fails_is_run_again(keeper, bin):
    main = keeper.dir / "main"
    script = f"test -e {keeper.dir}/go || {{ echo partial; exit 1; }}; tr a-z A-Z; echo s >&5"
    process = keeper.start(bin / "multilog", "s4096", f"!{script}", main, stdin=subprocess.PIPE)
    process.stdin.write(b"abc\n" * 1500)
    process.stdin.close()
    wait_for(lambda: b"processor failed" in process.errors.read_bytes(), 10, "the complaint")
    assert not list(main.glob("@*"))
    (keeper.dir / "go").touch()
    assert process.wait(20) == 0
    old = sorted(main.glob("@*.s"))
    assert len(old) == 2
    assert b"".join(p.read_bytes() for p in old) + (main / "current").read_bytes().upper() == \
        b"ABC\n" * 1500
    assert (main / "state").read_bytes() == b"s\n"


def test_a_fast_feeder_loses_no_line_over_many_files(keeper, bin):
    main = keeper.dir / "main"
    lines = b"".join(b"line %d\n" % n for n in range(200000))
    result = run(bin / "multilog", "s100000", "n1000", main, input=lines)
    assert result.returncode == 0 and result.stderr == b""
    old = sorted(main.glob("@*.s"))
    assert all_bytes(main) == lines
    assert all(98000 <= p.stat().st_size <= 100000 for p in old)
    assert all(p.stat().st_mode & 0o777 == 0o744 for p in old)


def test_what_was_not_safely_written_is_not_called_safe(keeper, bin):
    """fsync fails once; a second success would say nothing of the data."""
    main = keeper.dir / "main"
    trace = keeper.dir / "trace"
    lines = b"abc\n" * 1500
    result = run("strace", "-qq", "-o", trace, "--inject=fsync:error=EIO:when=1",
                 bin / "multilog", "s4096", main, input=lines)
    assert result.returncode == 0
    assert "(INJECTED)" in trace.read_text()
    assert b"unable to write" in result.stderr
    assert [p.suffix for p in sorted(main.glob("@*"))] == [".u", ".s"]
    assert all_bytes(main) == lines
