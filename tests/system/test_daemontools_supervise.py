"""supervise, svc, svok and svstat: ours and Debian's control, read and
lock each other's services."""

import os
import resource
import signal
import subprocess
import time

import pytest

from daemontools import (DEBIAN, cpu_ticks, exists, keeper, make_service, pid_of,  # noqa: F401
                         raw_status, run, status, without_death, without_numbers, write_script)
from waiting import wait_for

SLEEP = "exec sleep 1000\n"
# Says that it is ready, then writes down each signal.
LISTEN = """
for s in HUP ALRM INT TERM; do trap "echo $s >>signals" $s; done
echo $$ >>starts
while :; do sleep 0.02; done
"""


def where(bin, name):
    return bin if name == "ours" else DEBIAN


@pytest.fixture(params=["ours-ours", "ours-debian", "debian-ours"])
def pair(request, bin):
    """The directory of supervise, and that of svc, svok and svstat."""
    first, second = request.param.split("-")
    return where(bin, first), where(bin, second)


def up(service):
    wait_for(lambda: pid_of(service), 10, "the service to be up")
    return pid_of(service)


def svstat(directory, service):
    """Its words, without those of ours that the original has not."""
    return without_death(without_numbers(words_of(directory, service)))


def words_of(directory, service):
    return run(directory / "svstat", service).stdout.split(b": ", 1)[1]


def test_commands_do_what_the_manual_says(keeper, pair):
    supervise, control = pair
    service = make_service(keeper.dir / "s", SLEEP)
    process = keeper.supervise(supervise / "supervise", service)

    def svc(options):
        assert run(control / "svc", options, service).stderr == b""

    def becomes(want):
        wait_for(lambda: status(service) == want, 10, f"status {want}, is {status(service)}")

    becomes((True, 0, b"u"))
    assert svstat(control, service) == b"up (pid N) N seconds\n"
    first = pid_of(service)
    svc("-p")
    becomes((True, 1, b"u"))
    assert svstat(control, service) == b"up (pid N) N seconds, paused\n"
    svc("-c")
    becomes((True, 0, b"u"))
    svc("-k")
    wait_for(lambda: pid_of(service) not in (0, first), 10, "a restart")
    svc("-o")
    becomes((True, 0, b"\0"))
    svc("-t")
    becomes((False, 0, b"\0"))
    assert svstat(control, service) == b"down N seconds, normally up\n"
    svc("-o")
    becomes((True, 0, b"\0"))
    svc("-p")
    becomes((True, 1, b"\0"))
    svc("-d")  # TERM and CONT: a paused service goes down
    becomes((False, 0, b"d"))
    assert svstat(control, service) == b"down N seconds, normally up\n"
    svc("-u")
    becomes((True, 0, b"u"))
    assert run(control / "svok", service).returncode == 0
    svc("-dx")
    assert process.wait(10) == 0
    assert run(control / "svok", service).returncode == 100
    assert svstat(control, service) == b"supervise not running\n"
    result = run(control / "svc", "-u", service)
    assert result.returncode == 0 and b"supervise not running" in result.stderr


def test_signals_arrive(keeper, pair):
    supervise, control = pair
    service = make_service(keeper.dir / "s", LISTEN)
    keeper.supervise(supervise / "supervise", service)
    wait_for((service / "starts").exists, 10, "the service")
    for options in ("-h", "-a", "-i", "-t"):
        size = len((service / "signals").read_text()) if (service / "signals").exists() else 0
        run(control / "svc", options, service)
        wait_for(lambda: (service / "signals").exists() and
                 len((service / "signals").read_text()) > size, 10, options)
    assert (service / "signals").read_text().split() == ["HUP", "ALRM", "INT", "TERM"]
    assert len((service / "starts").read_text().split()) == 1


def test_a_file_called_down_keeps_it_down(keeper, bin):
    texts = []
    for name in ("ours", "debian"):
        service = make_service(keeper.dir / name, SLEEP, down=True)
        keeper.supervise(where(bin, name) / "supervise", service)
        wait_for((service / "supervise/status").exists, 10, "the status")
        texts.append((status(service), svstat(bin, service), svstat(DEBIAN, service)))
        run(bin / "svc", "-u", service)
        up(service)
        assert svstat(bin, service) == svstat(DEBIAN, service) == \
            b"up (pid N) N seconds, normally down\n"
    assert texts[0] == texts[1]


def test_want_up_and_want_down_are_shown(keeper, bin):
    service = make_service(keeper.dir / "s", "trap '' TERM\nwhile :; do sleep 0.1; done\n")
    keeper.supervise(bin / "supervise", service)
    up(service)
    # The shell must have set its trap: TERM until it is ignored would end it.
    wait_for(lambda: "SigIgn:\t0000000000004" in open(f"/proc/{pid_of(service)}/status").read(),
             10, "the trap")
    run(bin / "svc", "-d", service)
    wait_for(lambda: status(service) == (True, 0, b"d"), 10, "want down")
    assert svstat(bin, service) == svstat(DEBIAN, service) == b"up (pid N) N seconds, want down\n"
    run(bin / "svc", "-k", service)
    wait_for(lambda: not pid_of(service), 10, "down")


# ---- the last death ----

DEATHS = [("exit 0", "exit 0"), ("exit 1", "exit 1"), ("exit 111", "exit 111"),
          ("exit 255", "exit 255"), ("kill -9 $$", "killed by signal 9"),
          ("kill -TERM $$", "killed by signal 15"), ("exec no-such-program", "exit 127")]


@pytest.mark.parametrize("script, words", DEATHS, ids=[words for _, words in DEATHS])
def test_svstat_says_how_the_service_ended_last(keeper, bin, script, words):
    service = make_service(keeper.dir / "s", f"exec 2>/dev/null\n{script}\n", down=True)
    keeper.supervise(bin / "supervise", service)
    assert not (service / "supervise/death").exists()
    assert b"last" not in words_of(bin, service)
    run(bin / "svc", "-o", service)
    want = f", last {words}\n".encode()
    wait_for(lambda: words_of(bin, service).endswith(want), 10, lambda: words_of(bin, service))
    ours, theirs = (without_numbers(words_of(folder, service)) for folder in (bin, DEBIAN))
    # The words before are the original's, and it reads our status as ever.
    assert ours == theirs.removesuffix(b"\n") + want
    assert len(raw_status(service)) == 18
    assert (service / "supervise/death").read_text() == \
        words.replace("killed by ", "") + "\n"


def test_a_service_in_a_crash_loop_says_so(keeper, bin):
    service = make_service(keeper.dir / "s", "exit 111\n")
    keeper.supervise(bin / "supervise", service)
    wait_for(lambda: without_numbers(words_of(bin, service)) ==
             b"down N seconds, normally up, want up, last exit 111\n", 10,
             lambda: words_of(bin, service))


def test_one_that_was_started_again_still_says_how_it_ended(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP)
    keeper.supervise(bin / "supervise", service)
    first = up(service)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pid_of(service) not in (0, first), 10, "a restart")
    assert without_numbers(words_of(bin, service)) == \
        b"up (pid N) N seconds, last killed by signal 9\n"


def test_a_new_supervise_forgets_what_it_has_not_seen(keeper, bin):
    service = make_service(keeper.dir / "s", "exit 3\n", down=True)
    process = keeper.supervise(bin / "supervise", service)
    run(bin / "svc", "-o", service)
    wait_for((service / "supervise/death").exists, 10, "the death")
    run(bin / "svc", "-x", service)
    assert process.wait(10) == 0
    keeper.supervise(bin / "supervise", service)
    assert not (service / "supervise/death").exists()
    assert svstat(DEBIAN, service) == without_numbers(words_of(bin, service))


@pytest.mark.parametrize("text", [b"", b"exit", b"exit \n", b"exit 256\n", b"exit -1\n", b"exit 1",
                                  b"signal x\n", b"\0" * 40, b"exit 1" + b"0" * 40 + b"\n"])
def test_svstat_does_not_repeat_nonsense(keeper, bin, text):
    service = make_service(keeper.dir / "s", SLEEP, down=True)
    keeper.supervise(bin / "supervise", service)
    (service / "supervise/death").write_bytes(text)
    assert without_numbers(words_of(bin, service)) == b"down N seconds\n"


def test_a_death_that_cannot_be_written_does_not_keep_the_status_old(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP, down=True)
    process = keeper.supervise(bin / "supervise", service)
    (service / "supervise/death").mkdir()
    run(bin / "svc", "-o", service)
    up(service)
    run(bin / "svc", "-k", service)
    wait_for(lambda: not pid_of(service), 10, "down")
    wait_for(lambda: b"unable to write" in process.errors.read_bytes(), 10, "the complaint")
    assert without_numbers(words_of(bin, service)) == b"down N seconds\n"
    (service / "supervise/death").rmdir()
    wait_for(lambda: words_of(bin, service).endswith(b", last killed by signal 9\n"), 10, "the death")
    assert process.poll() is None and cpu_ticks(process.pid) < 10


@pytest.mark.parametrize("first,second", [("ours", "ours"), ("ours", "debian"), ("debian", "ours")])
def test_a_second_supervise_gives_up(keeper, bin, first, second):
    service = make_service(keeper.dir / "s", SLEEP)
    keeper.supervise(where(bin, first) / "supervise", service)
    result = run(where(bin, second) / "supervise", service)
    assert result.returncode == 111
    assert b"unable to acquire" in result.stderr


def test_files_have_the_same_modes(keeper, bin):
    modes = []
    for name in ("ours", "debian"):
        service = make_service(keeper.dir / name, SLEEP)
        keeper.supervise(where(bin, name) / "supervise", service)
        up(service)
        run(bin / "svc", "-dk", service)
        wait_for(lambda: not pid_of(service), 10, "down")
        modes.append({p.name: oct(p.stat().st_mode)
                      for p in [service / "supervise", *(service / "supervise").iterdir()]})
    assert modes[0].pop("death") == modes[0]["status"]  # ours alone
    # One more, for the service's listening socket (doc/differences.md).
    assert modes[0].pop("keep") == "0o140600"
    assert modes[0] == modes[1]


def test_it_starts_again_at_most_once_a_second(keeper, bin):
    service = make_service(keeper.dir / "s", "echo >>starts\n")
    begun = time.monotonic()
    process = keeper.supervise(bin / "supervise", service)
    wait_for(lambda: (service / "starts").exists() and
             (service / "starts").stat().st_size >= 4, 10, "four starts")
    assert time.monotonic() - begun >= 2.9
    assert cpu_ticks(process.pid) < 10


def test_a_service_that_ran_long_comes_back_at_once(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP)
    keeper.supervise(bin / "supervise", service)
    first = up(service)
    wait_for(lambda: int(run(bin / "svstat", service).stdout.split()[-2]) >= 2, 10, "two seconds")
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: pid_of(service) not in (0, first), 10, "a restart")
    assert time.monotonic() - killed < 0.9


def test_commands_are_obeyed_while_it_waits_to_restart(keeper, bin):
    service = make_service(keeper.dir / "s", "echo >>starts\n")
    keeper.supervise(bin / "supervise", service)
    wait_for((service / "starts").exists, 10, "a start")
    begun = time.monotonic()
    run(bin / "svc", "-d", service)
    wait_for(lambda: status(service) == (False, 0, b"d"), 10, "down")
    assert time.monotonic() - begun < 0.9  # the original sleeps through it


def test_a_missing_run_is_told_and_tried_again(keeper, bin):
    service = keeper.dir / "s"
    service.mkdir()
    process = keeper.supervise(bin / "supervise", service)
    wait_for(lambda: b"unable to start" in process.errors.read_bytes(), 10, "the complaint")
    make_service(service, SLEEP)
    wait_for(lambda: pid_of(service) and exists(pid_of(service)) and
             b"sleep" in open(f"/proc/{pid_of(service)}/cmdline", "rb").read(), 10, "the service")
    assert process.poll() is None


def test_run_gets_the_descriptors_and_default_signals(keeper, bin):
    service = make_service(keeper.dir / "s", "cat >got\nls /proc/self/fd | wc -l >fds\n"
                           "grep -E 'Sig(Blk|Ign)' /proc/self/status >mask\nexec sleep 1000\n")
    read, write = os.pipe()
    os.write(write, b"inherited")
    os.close(write)
    process = keeper.start(bin / "supervise", service, stdin=read)
    os.close(read)
    keeper.supervised.append(service)
    wait_for(lambda: (service / "mask").exists() and (service / "mask").stat().st_size > 40, 10,
             "the service")
    assert (service / "got").read_bytes() == b"inherited"
    assert (service / "fds").read_text().split() == ["4"]  # 0 1 2 and ls's own
    for line in (service / "mask").read_text().splitlines():
        assert int(line.split()[1], 16) == 0
    assert process.poll() is None


def test_supervise_may_be_a_link_to_a_place_not_yet_there(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP)
    (service / "supervise").symlink_to(keeper.dir / "elsewhere")
    keeper.supervise(bin / "supervise", service)
    up(service)
    assert (keeper.dir / "elsewhere" / "status").exists()


@pytest.mark.root
def test_it_waits_when_no_process_can_be_forked(keeper, bin):
    """RLIMIT_NPROC binds only an ordinary uid, and one that is alone."""
    service = make_service(keeper.dir / "s", SLEEP)
    os.chown(service, 61234, 61234)
    process = keeper.start(bin / "setuidgid", ":61234:61234", bin / "softlimit", "-p", "1",
                           bin / "supervise", service)
    keeper.supervised.append(service)
    wait_for(lambda: process.errors.read_bytes().count(b"unable to fork") >= 3, 10, "three tries")
    begun, tries = time.monotonic(), process.errors.read_bytes().count(b"unable to fork")
    wait_for(lambda: process.errors.read_bytes().count(b"unable to fork") >= tries + 2, 10, "more")
    assert time.monotonic() - begun >= 0.9
    assert cpu_ticks(process.pid) < 10
    run(bin / "setuidgid", ":61234:61234", "prlimit", "--pid", process.pid, "--nproc=100:",
        check=True)
    up(service)
    assert process.poll() is None


def test_it_lives_without_free_descriptors_or_memory(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP)
    process = keeper.supervise(bin / "supervise", service)
    first = up(service)
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (0, hard))
    resource.prlimit(process.pid, resource.RLIMIT_AS, (0, resource.RLIM_INFINITY))
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: b"warning" in process.errors.read_bytes(), 10, "a warning")
    ticks = cpu_ticks(process.pid)
    resource.prlimit(process.pid, resource.RLIMIT_AS,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    wait_for(lambda: pid_of(service) not in (0, first), 10, "a restart")
    assert ticks < 10 and process.poll() is None


def test_a_full_disk_does_not_end_it(keeper, bin):
    service = make_service(keeper.dir / "s", SLEEP)
    process = keeper.start(bin / "supervise", service, stderr=subprocess.PIPE)
    keeper.supervised.append(service)
    wait_for((service / "supervise/status").exists, 10, "the status")
    first = up(service)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    run(bin / "svc", "-p", service)
    assert b"unable to write" in process.stderr.readline()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run(bin / "svc", "-ck", service)
    wait_for(lambda: pid_of(service) not in (0, first), 10, "a restart")
