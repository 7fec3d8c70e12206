"""svscan: every service is watched, log pipes survive, and SIGTERM ends
everything in order."""

import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from daemontools import (DEBIAN, children, cpu_ticks, exists, keeper, make_service,  # noqa: F401
                         pid_of, run, status)
from waiting import wait_for

SLEEP = "exec sleep 1000\n"
COUNT = """
n=0
while :; do n=$((n+1)); echo "line $n"; sleep 0.01; done
"""


@pytest.fixture
def svscan(keeper, bin):
    """Start our svscan on keeper.dir/service, with our supervise and multilog."""
    def start(*front, **kw):
        kw.setdefault("env", {"PATH": f"{bin}:/usr/bin:/bin"})
        (keeper.dir / "service").mkdir(exist_ok=True)
        program = [*front, bin / "svscan"] if front else [bin / "svscan"]
        process = keeper.start(*program, keeper.dir / "service", **kw)
        keeper.supervised.append(keeper.dir / "service")
        return process
    return start


def is_up(service):
    try:
        return pid_of(service)
    except FileNotFoundError:
        return 0


def log_script(bin):
    return f"exec {bin}/multilog t n100 s16777215 ./main\n"


def lines_of(log):
    names = sorted(p.name for p in log.iterdir() if p.name[0] == "@") + ["current"]
    text = b"".join((log / name).read_bytes() for name in names)
    return [line[26:] for line in text.split(b"\n")[:-1]]


def test_it_starts_what_is_there_and_skips_what_is_no_service(keeper, bin, svscan):
    top = keeper.dir / "service"
    make_service(top / "a", SLEEP)
    make_service(top / "b", COUNT, log=log_script(bin))
    make_service(top / ".hidden", SLEEP)
    make_service(keeper.dir / "far", SLEEP)
    (top / "linked").symlink_to(keeper.dir / "far")
    (top / "dangling").symlink_to(keeper.dir / "nowhere")
    (top / "file").write_text("no directory\n")
    process = svscan()
    for service in (top / "a", top / "b", top / "b/log", keeper.dir / "far"):
        wait_for(lambda: is_up(service), 10, str(service))
    assert not (top / ".hidden/supervise").exists()
    assert len(children(process.pid)) == 4
    wait_for(lambda: (top / "b/log/main/current").exists() and
             len(lines_of(top / "b/log/main")) > 3, 10, "lines in the log")
    assert lines_of(top / "b/log/main")[:3] == [b"line 1", b"line 2", b"line 3"]
    assert process.errors.read_bytes() == b""


def test_a_new_directory_is_found_within_five_seconds(keeper, bin, svscan):
    svscan()
    time.sleep(0.3)  # any moment between two scans
    begun = time.monotonic()
    service = make_service(keeper.dir / "service/new", SLEEP)
    wait_for(lambda: is_up(service), 10, "the new service")
    assert time.monotonic() - begun < 6.5


def test_killed_parts_come_back_and_no_line_is_lost(keeper, bin, svscan):
    """TERM to multilog and -9 to the supervise of the log, again and again."""
    top = keeper.dir / "service"
    service = make_service(top / "s", COUNT, log=log_script(bin))
    process = svscan()
    wait_for(lambda: is_up(service / "log"), 10, "the log")
    for _ in range(3):
        old = pid_of(service / "log")
        os.kill(old, signal.SIGTERM)
        wait_for(lambda: pid_of(service / "log") not in (0, old), 10, "another multilog")
    log_supervise = [pid for pid, _, name in children(process.pid)
                     if os.readlink(f"/proc/{pid}/cwd").endswith("/log")]
    assert len(log_supervise) == 1
    os.kill(log_supervise[0], signal.SIGKILL)
    old = pid_of(service / "log")
    os.kill(old, signal.SIGTERM)
    wait_for(lambda: pid_of(service / "log") != old and exists(pid_of(service / "log")), 10,
             "another log service")
    process.terminate()
    assert process.wait(15) == 0
    lines = lines_of(service / "log/main")
    assert len(lines) > 50
    assert lines == [b"line %d" % (n + 1) for n in range(len(lines))]


def test_term_ends_services_then_logs_and_leaves_nobody(keeper, bin, svscan):
    top = keeper.dir / "service"
    # On TERM the service still has something to say.
    script = "trap 'echo last words; exit 0' TERM\necho first words\nwhile :; do sleep 0.02; done\n"
    service = make_service(top / "s", script, log=log_script(bin))
    make_service(top / "plain", SLEEP)
    make_service(top / "down", SLEEP, down=True)
    process = svscan()
    wait_for(lambda: (service / "log/main/current").exists() and
             (service / "log/main/current").stat().st_size, 10, "first words")
    wait_for(lambda: is_up(top / "plain"), 10, "the plain service")
    wait_for(lambda: run(bin / "svok", top / "down").returncode == 0, 10, "the one that is down")
    pids = [pid_of(s) for s in (service, service / "log", top / "plain")]
    pids += [pid for pid, _, _ in children(process.pid)]
    begun = time.monotonic()
    process.terminate()
    assert process.wait(15) == 0
    assert time.monotonic() - begun < 4.9
    assert not [pid for pid in pids if exists(pid)]
    assert lines_of(service / "log/main") == [b"first words", b"last words"]
    assert (service / "log/main/current").stat().st_mode & 0o777 == 0o744  # finished in order


def test_term_reaches_services_whose_directory_was_renamed_or_unlinked(keeper, bin, svscan):
    top = keeper.dir / "service"
    top.mkdir()
    make_service(keeper.dir / "far", SLEEP, log="exec cat >>all\n")
    (top / "linked").symlink_to(keeper.dir / "far")
    make_service(top / "a", SLEEP)
    process = svscan()
    for service in (keeper.dir / "far", keeper.dir / "far/log", top / "a"):
        wait_for(lambda: is_up(service), 10, str(service))
    pids = [pid for pid, _, _ in children(process.pid)]
    (top / "linked").unlink()
    (top / "a").rename(top / ".a")
    process.terminate()
    assert process.wait(10) == 0
    assert not [pid for pid in pids if exists(pid)]


def test_term_ends_what_an_earlier_svscan_has_left(keeper, bin, svscan):
    service = make_service(keeper.dir / "service/s", SLEEP)
    first = svscan()
    wait_for(lambda: is_up(service), 10, "the service")
    pid = pid_of(service)
    first.kill()
    first.wait()
    assert exists(pid)
    second = svscan()
    wait_for(lambda: b"unable to acquire" in second.errors.read_bytes(), 10, "a second supervise")
    second.terminate()
    assert second.wait(10) == 0
    assert not exists(pid)


def test_a_service_that_is_gone_is_forgotten(keeper, bin, svscan):
    top = keeper.dir / "service"
    service = make_service(top / "s", COUNT, log="exec cat >/dev/null\n")
    process = svscan()
    wait_for(lambda: is_up(service) and is_up(service / "log"), 10, "the service")
    (top / "s").rename(keeper.dir / "away")
    run(bin / "svc", "-dx", keeper.dir / "away")
    run(bin / "svc", "-x", keeper.dir / "away/log")
    # The log ends only when svscan lets go of its pipe.
    wait_for(lambda: not children(process.pid), 12, "nobody")
    wait_for(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) <= 4, 12, "the pipe to be closed")


def test_it_waits_for_free_descriptors(keeper, bin, svscan):
    top = keeper.dir / "service"
    for n in range(4):
        make_service(top / f"s{n}", SLEEP, log="exec cat >>all\n")
    process = svscan(preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (8, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    wait_for(lambda: b"unable to set up the log" in process.errors.read_bytes(), 10, "the complaint")
    assert process.poll() is None and cpu_ticks(process.pid) < 10
    hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[1]
    for pid in [process.pid] + [pid for pid, _, _ in children(process.pid)]:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    for n in range(4):
        wait_for(lambda: is_up(top / f"s{n}/log"), 15, "all services")


def test_it_waits_for_memory(keeper, bin, svscan):
    """Nothing that is started under it has any then."""
    top = keeper.dir / "service"
    make_service(top / "first", SLEEP)
    process = svscan()
    wait_for(lambda: is_up(top / "first"), 15, "the first service")
    supervise, = [pid for pid, _, _ in children(process.pid)]
    # Its stack may not grow, and no program can be run.
    resource.prlimit(process.pid, resource.RLIMIT_AS, (4096, resource.RLIM_INFINITY))
    before = cpu_ticks(process.pid)
    orphan = pid_of(top / "first")
    for pid in supervise, orphan:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not exists(pid), 10, "it to end")
    make_service(top / "second", SLEEP)
    with pytest.raises(AssertionError):  # it is looked for every five seconds
        wait_for(lambda: is_up(top / "second"), 7)
    assert process.poll() is None and cpu_ticks(process.pid) - before < 10
    resource.prlimit(process.pid, resource.RLIMIT_AS,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for name in "first", "second":
        wait_for(lambda: is_up(top / name), 15, name)


@pytest.mark.root
def test_it_waits_when_no_process_can_be_forked(keeper, bin, svscan):
    service = make_service(keeper.dir / "service/s", SLEEP)
    os.chown(service, 61236, 61236)
    process = svscan(bin / "setuidgid", ":61236:61236", bin / "softlimit", "-p", "1")
    wait_for(lambda: b"unable to fork" in process.errors.read_bytes(), 10, "the complaint")
    assert cpu_ticks(process.pid) < 10
    run(bin / "setuidgid", ":61236:61236", "prlimit", "--pid", process.pid, "--nproc=100:",
        check=True)
    wait_for(lambda: is_up(service), 15, "the service")
    process.terminate()
    assert process.wait(10) == 0


@pytest.mark.root
def test_as_process_1_it_reaps_orphans_and_ends_in_order(keeper, bin, svscan):
    script = "(sleep 0.1 & sleep 0.1 & sleep 0.1 &)\necho >>ran\nexec sleep 1000\n"
    service = make_service(keeper.dir / "service/s", script)
    unshare = svscan("unshare", "--pid", "--fork", "--kill-child")
    wait_for((service / "ran").exists, 10, "the service")
    (first, _, name), = children(unshare.pid)
    assert name == "svscan"
    wait_for(lambda: [n for _, _, n in children(first)] == ["supervise"], 10,
             "no orphans and no corpses")
    os.kill(first, signal.SIGTERM)
    assert unshare.wait(10) == 0


@pytest.mark.root
@pytest.mark.parametrize("program", ["svscan", "svscanboot"])
def test_as_process_1_term_leaves_no_orphan_listener(keeper, bin, program):
    """A container with tcpserver, a session under way, and its log: after TERM
    there is no process left, and nobody listens."""
    top = keeper.dir / "service"
    service = make_service(
        top / "server", "exec 2>&1\nexec tcpserver -1vHRl0 127.0.0.1 0 sh -c 'echo in; exec sleep 1000'\n",
        log=log_script(bin))
    boot = keeper.start("unshare", "--pid", "--fork", "--kill-child", "--mount", "sh", "-c",
                        f"mount --bind {bin} /usr/local/bin && mount -t proc proc /proc && "
                        f"exec {bin}/{program} {top}", env={"PATH": f"{bin}:/usr/bin:/bin"})
    keeper.supervised.append(top)
    current = service / "log/main/current"
    wait_for(lambda: current.exists() and b"status: 0/40" in current.read_bytes(), 15, "tcpserver")
    port = int(lines_of(service / "log/main")[0])
    with socket.create_connection(("127.0.0.1", port), 10) as session:
        assert session.recv(3) == b"in\n"
        (first, _, name), = children(boot.pid)
        assert name == "svscan"
        os.kill(first, signal.SIGTERM)
        assert boot.wait(10) == 0
        # The session ends with its process, that with the container.
        assert session.recv(10) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)
    assert current.stat().st_mode & 0o777 == 0o744  # the log had its end, too


@pytest.mark.root
def test_svscanboot_becomes_svscan_and_shows_its_complaints(keeper, bin):
    top = keeper.dir / "service"
    service = make_service(top / "s", "env >new && mv new env\nexec sleep 1000\n")
    (top / "bad").mkdir()
    boot = keeper.start("unshare", "--mount", "sh", "-c",
                        f"mount --bind {bin} /usr/local/bin && "
                        f"exec {bin}/svscanboot {top}")
    keeper.supervised.append(top)
    wait_for(lambda: (service / "env").exists() and is_up(service), 10, "the service")
    assert open(f"/proc/{boot.pid}/comm").read() == "svscan\n"
    assert "PATH=/command:/usr/local/bin:/usr/local/sbin:/bin:/sbin:/usr/bin:/usr/sbin:" \
        "/usr/X11R6/bin\n" in (service / "env").read_text()
    title, = [pid for pid, _, name in children(boot.pid) if name == "readproctitle"]
    wait_for(lambda: b"unable to start bad/run" in open(f"/proc/{title}/cmdline", "rb").read(), 10,
             "the complaint in ps")
    boot.terminate()
    assert boot.wait(10) == 0  # svscan's: the exit 0 of an orderly end
    wait_for(lambda: not exists(title), 10, "readproctitle to end")
