"""The queue's log (doc/queue.md): records instead of files.

A qmail-send that is stopped (SIGSTOP) keeps its connection, so that what is
accepted meanwhile lies in the log and nowhere else; killed then, it leaves
that to be replayed.
"""

import contextlib
import os
import re
import signal
import subprocess
import time

import pytest

from house import DOMAIN, House
from oracle import Oracle
from queuefile import content, crc32c, log_records, states_of, u64
from test_kill import Wrapped
from waiting import wait_for

# The oracle leaves alone what was there before it.
MESSAGE = b"X-Oracle: %032x\r\nSubject: x\r\n\r\nx\r\n" % 0


@pytest.fixture
def house(bin):
    made = House(bin)
    made.add_domain()
    made.start()
    wait_for_log(made)
    yield made
    try:
        os.kill(send_pid(made), signal.SIGCONT)
    except (ProcessLookupError, ValueError):
        pass
    made.stop()
    made.remove()


def wait_for_log(house):
    """Until a message has gone that way: then it is in use."""
    seen = len(house.messages())

    def is_used():
        nonlocal seen
        house.send(MESSAGE)
        seen += 1
        house.wait_messages(seen)
        return list(log_records(house.home))

    wait_for(is_used, 20, house.story)
    house.wait_queue_empty()


def send_pid(house):
    (pid,) = house.pids("qmail-send")
    return pid


def live(house):
    return house.queue_files("mess")


def stop_send(house):
    pid = send_pid(house)
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T",
             what="a stopped qmail-send")
    return pid


def restarted(house, old):
    """qmail-send is another one and says that it runs."""
    def is_there():
        pids = house.pids("qmail-send")
        return len(pids) == 1 and pids[0] != old
    wait_for(is_there, 30, house.story)


def files(house, *folders):
    """Those that have their names; not what is on its way to one."""
    return [p for folder in folders
            for p in (house.home / "queue" / folder).rglob("*")
            if p.is_file() and p.suffix != ".new"]


def test_a_delivered_message_was_never_a_file(house):
    before = len(list(log_records(house.home)))
    count = len(house.messages())
    subprocess.run(["touch", house.home / "stamp"], check=True)
    stamps = {p: p.stat().st_mtime_ns for folder in ("new", "mess", "pid")
              for p in (house.home / "queue" / folder).glob("*")}
    for _ in range(5):
        house.send(MESSAGE)
    house.wait_messages(count + 5)
    house.wait_queue_empty()
    records = list(log_records(house.home))
    assert len(records) == before + 5
    assert all(states_of(image) == b"D" for _, _, _, image in records)
    # No name came or went in any folder of files.
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_what_a_killed_qmail_send_had_is_replayed(house):
    oracle = Oracle(house)
    pid = stop_send(house)
    for _ in range(20):
        assert oracle.send()
    assert len(live(house)) == 20 and not files(house, "new", "mess")
    os.kill(pid, signal.SIGKILL)
    restarted(house, pid)
    house.wait_queue_empty()
    oracle.judge()
    # And the log is in use again.
    wait_for_log(house)


def test_a_replay_that_failed_is_due_when_told(house):
    """Else it is tried again after two minutes."""
    oracle = Oracle(house)
    pid = stop_send(house)
    assert oracle.send()
    shards = list((house.home / "queue/mess").iterdir())
    modes = [shard.stat().st_mode & 0o7777 for shard in shards]
    for shard in shards:
        shard.chmod(0o550)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: re.search(r"unable to write queue/mess/\S+; will try", house.log()),
             20, house.story)
    for shard, mode in zip(shards, modes):
        shard.chmod(mode)
    assert oracle.missing()
    restarted(house, pid)
    os.kill(send_pid(house), signal.SIGALRM)
    house.wait_queue_empty(20)
    oracle.judge()


def test_what_a_killed_qmail_queued_had_is_replayed(house):
    oracle = Oracle(house)
    send = stop_send(house)
    for _ in range(20):
        assert oracle.send()
    for pid in house.pids("qmail-queued"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.kill(send, signal.SIGCONT)
    house.wait_queue_empty()
    oracle.judge()
    assert not files(house, "bad")
    wait_for_log(house)


def test_what_a_killed_qmail_queued_told_nobody_is_found_at_once(house):
    """A file that is accepted, and its maker gone before it could say so."""
    seen = len(house.messages())
    ident = time.time_ns() // 1000
    split = int(re.search(r"^split (\d+)$", (house.home / "queue/format").read_text(), re.M)[1])
    folder = house.home / "queue/new" / str(ident % split)
    path = house.home / "made"
    path.write_bytes(content(MESSAGE.replace(b"\r", b""), b"",
                             [f"luis@{DOMAIN}".encode()], ident))
    path.chmod(0o660)
    os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    path.rename(folder / str(ident))
    for pid in house.pids("qmail-queued"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    # Without a word it would be found within a minute.
    house.wait_messages(seen + 1, timeout=15)


def test_both_killed(house):
    oracle = Oracle(house)
    send = stop_send(house)
    for _ in range(20):
        assert oracle.send()
    for pid in house.pids("qmail-queued") + [send]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    restarted(house, send)
    house.wait_queue_empty()
    oracle.judge()
    assert not files(house, "bad")


def test_a_deferred_message_becomes_a_file_with_its_states(house):
    # luis can be delivered to, ana cannot now.
    maildir = house.maildir("ana")
    maildir.rename(maildir.with_name("away"))
    house.send(MESSAGE, to=[f"luis@{DOMAIN}", f"ana@{DOMAIN}"])
    (path,) = wait_for(lambda: files(house, "mess"), 20, house.story)
    wait_for(lambda: states_of(path.read_bytes()) == b"DW", 10, house.story)
    # Its record is let go when that is durable, a moment later.
    wait_for(lambda: [p for p in live(house) if p != path] == [], 10,
             house.story)
    assert path.stat().st_mode & 0o777 == 0o660
    maildir.with_name("away").rename(maildir)
    os.kill(send_pid(house), signal.SIGALRM)
    house.wait_messages(1, user="ana")
    house.wait_queue_empty()


def test_a_failed_recipient_bounces(house):
    house.send(MESSAGE, to=[f"nobody@{DOMAIN}", f"luis@{DOMAIN}"])
    (bounce,) = house.wait_messages(1, user="ana")
    assert f"<nobody@{DOMAIN}>".encode() in bounce
    house.wait_queue_empty()


def test_what_waits_long_becomes_a_file(house):
    """A delivery that hangs: after some seconds the log lets it go."""
    fifo = house.home / "fifo"
    os.mkfifo(fifo)
    os.chmod(fifo, 0o666)
    line = house.home / "alias/.qmail-slow"
    line.write_text(f"|cat {fifo}; cat >/dev/null\n")
    line.chmod(0o644)
    try:
        house.send(MESSAGE, to=["slow@mail.example.test"])
        (path,) = wait_for(lambda: files(house, "mess"), 30, house.story)
        wait_for(lambda: [p for p in live(house) if p != path] == [], 10,
                 house.story)
        assert states_of(path.read_bytes()) == b"W"
    finally:
        fifo.write_text("")
    house.wait_queue_empty()
    assert "success" in house.log()


@contextlib.contextmanager
def calls_fail(house, fault, program="qmail-send"):
    """A program's do, while this goes on; gives strace's file."""
    trace = house.home / "trace"
    pids = house.pids(program)
    tracer = subprocess.Popen(
        ["strace", "-qq", "-o", trace, "-e", "trace=pwrite64,pread64,fdatasync",
         "-e", f"inject={fault}", *[word for pid in pids for word in ("-p", str(pid))]])
    try:
        wait_for(lambda: all(tracer_of(pid) for pid in pids), 20, "strace")
        yield trace
    finally:
        tracer.terminate()
        tracer.wait()


@pytest.mark.root
def test_a_failed_sync_is_a_temporary_failure(house):
    oracle = Oracle(house)
    with calls_fail(house, "fdatasync:error=EIO:when=1", "qmail-queued") as trace:
        assert not oracle.send()
        assert oracle.refused and "(INJECTED)" in wait_for(
            trace.read_text, 10, "the trace")
    assert "cannot sync queue/log/" in house.log("qmail-queued")
    for _ in range(5):
        assert oracle.send()
    wait_for(lambda: not oracle.missing(), 20, house.story)
    house.wait_queue_empty()
    # What was refused is not delivered, and its segment is used no more.
    assert not oracle.refused & set(oracle.copies())
    wait_for(lambda: "had an error; it is not used" in
             house.log("qmail-queued"), 10, house.story)
    assert not files(house, "bad")


@pytest.mark.root
def test_a_record_whose_mark_failed_is_done_all_the_same(house):
    """Else it would be delivered again after a crash, however much later."""
    oracle = Oracle(house)
    with calls_fail(house, "pwrite64:error=ENOSPC:when=1"):
        assert oracle.send()
        wait_for(lambda: "trouble marking" in house.log(), 20, house.story)
    house.wait_queue_empty(20)
    assert not files(house, "mess")
    oracle.judge()


@pytest.mark.root
@pytest.mark.parametrize("fate", ["done", "moved"])
def test_a_record_is_not_released_before_its_mark(house, fate):
    """Nothing on the disk can be marked, for a while."""
    def heads():
        return {(path, at): state for path, at, state, image in
                log_records(house.home) if token.encode() in image}

    oracle = Oracle(house)
    with calls_fail(house, "pwrite64:error=ENOSPC"):
        if fate == "moved":
            (house.maildir("luis")).rename(house.home / "away")
        assert oracle.send()
        (token,) = oracle.accepted
        wait_for(lambda: "marking a record of queue/log" in house.log(), 20, house.story)
        assert set(heads().values()) == {b"L"}
        if fate == "moved":
            (house.home / "away").rename(house.maildir("luis"))
            os.kill(send_pid(house), signal.SIGALRM)
        wait_for(lambda: not oracle.missing(), 20, house.story)
        assert set(heads().values()) == {b"L"}
    wait_for(lambda: set(heads().values()) == {b"M"}, 20, house.story)
    pid = send_pid(house)
    os.kill(pid, signal.SIGKILL)
    restarted(house, pid)
    wait_for_log(house)
    news = re.findall("new msg ([0-9]+)", house.log())
    assert len(news) == len(set(news)), house.log()
    oracle.judge()


@pytest.mark.root
def test_a_record_that_could_not_be_read_is_delivered_soon(house):
    oracle = Oracle(house)
    with calls_fail(house, "pread64:error=EIO:when=1"):
        assert oracle.send()
        wait_for(lambda: "alert: unable to read a record of queue/log/" in house.log(),
                 20, house.story)
    wait_for(lambda: not oracle.missing(), 20, house.story)
    wait_for_log(house)
    oracle.judge()


@pytest.mark.parametrize("fault,said", [
    ("unlink:error=EROFS:when=1", "cannot listen at queue/socket/handover, trying"),
    ("accept4:error=EMFILE:when=1..3", "cannot accept qmail-send"),
    ("newfstatat:error=EIO:when=1..2", "cannot look at all of queue/log"),
    ("openat:error=EIO:when=1..2", "cannot look at all of queue/log"),
    ("pread64:error=EIO:when=1..2", "cannot look at all of queue/log"),
])
def test_trouble_with_the_log_at_the_start_passes(house, fault, said):
    """What lies in it is delivered, and it is in use again, by itself."""
    queued = Wrapped(house, "qmail-queued")
    where = ("queue/socket/handover" if "handover" in said or "accept" in fault
             else "queue/log" if "newfstatat" in fault else "queue/log/0")
    try:
        oracle = Oracle(house)
        send = stop_send(house)
        for _ in range(3):
            assert oracle.send()
        # No path tells which accept is meant: it is the first.
        paths = () if "accept" in fault else (
            "-P", str(house.home / where) if "pread" in fault else where)
        queued.arm(*paths, "-e", f"inject={fault}")
        house.svc("-k", "qmail-queued")
        wait_for(lambda: not queued.armed(), 20, "qmail-queued to start")
        os.kill(send, signal.SIGCONT)
        wait_for(queued.was_injected, 20, house.story)
        wait_for(lambda: not oracle.missing(), 20, house.story)
        wait_for_log(house)
        log = house.log("qmail-queued")
        assert 0 < log.count(said) < 5, log[-2000:]
        oracle.judge()
        assert not files(house, "bad")
    finally:
        queued.disarm()
        queued.unwrap()


def tracer_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"TracerPid:\s+(\d+)", status.read()).group(1))


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


@pytest.mark.parametrize("where", ["head", "message", "envelope", "footer"])
def test_a_damaged_record_is_set_aside_and_the_others_delivered(house, where):
    oracle = Oracle(house)
    pid = stop_send(house)
    for _ in range(3):
        assert oracle.send()
    (first, second, third) = [
        record for record in log_records(house.home)
        if set(states_of(record[3])) == {ord("W")}]
    path, at, _, image = second
    length = int.from_bytes(image[-64:-56], "little")
    flip(path, {"head": at + 3, "message": at + 64 + 10,
                "envelope": at + 64 + length + 20,
                "footer": at + 64 + len(image) - 30}[where])
    token = re.search(rb"X-Oracle: ([0-9a-f]{32})", image).group(1).decode()
    os.kill(pid, signal.SIGKILL)
    restarted(house, pid)
    oracle.accepted.discard(token)
    oracle.refused.add(token)
    wait_for(lambda: not oracle.missing(), 20, house.story)
    assert token not in oracle.copies()
    if where == "head":
        return  # nothing tells that there was a record
    (bad,) = wait_for(lambda: files(house, "bad"), 20, house.story)
    assert len(bad.read_bytes()) == len(image)
    assert "alert: a record of queue/log/" in house.log()


@pytest.mark.parametrize("left", ["torn", "empty", pytest.param(
    "foreign", marks=pytest.mark.root)])
def test_a_name_that_a_power_cut_left_does_not_stand_in_the_way(house, left):
    """As a disk without a journal may show it, in the act of being moved."""
    oracle = Oracle(house)
    pid = stop_send(house)
    assert oracle.send()
    (image,) = [image for _, _, state, image in log_records(house.home)
                if set(states_of(image)) == {ord("W")}]
    ident = int.from_bytes(image[-32:-24], "little")
    path = house.home / "queue/mess" / str(ident % 23) / str(ident)
    path.write_bytes({"torn": image[:100], "empty": b"",
                      "foreign": b"somebody else's"}[left])
    path.chmod(0o600)
    if left != "foreign":
        owner = (house.home / "queue").stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o660)
    os.kill(pid, signal.SIGKILL)
    restarted(house, pid)
    if left == "foreign":
        # It was found, could not be opened, and is due in two minutes.
        wait_for(lambda: f"info msg {ident}" in house.log(), 30, house.story)
        os.kill(send_pid(house), signal.SIGALRM)
    wait_for(lambda: not oracle.missing(), 30, house.story)
    house.wait_queue_empty()
    oracle.judge()
    if left == "foreign":
        (bad,) = files(house, "bad")
        assert bad.read_bytes() == b"somebody else's"


def test_a_segment_of_a_later_version_is_left_alone(house):
    pid = stop_send(house)
    house.svc("-d", "qmail-queued")
    os.kill(pid, signal.SIGCONT)
    house.svc("-d", "qmail-send")
    wait_for(lambda: not house.pids("qmail-send") and
             not house.pids("qmail-queued"), 30, "both to end")
    for segment in (house.home / "queue/log").iterdir():
        head = b"valijaLG" + u64(2) + u64(99) + u64(1)
        with open(segment, "r+b") as file:
            file.write(head + u64(crc32c(head)))
    kept = {p: p.read_bytes() for p in (house.home / "queue/log").iterdir()}
    house.svc("-u", "qmail-queued", "qmail-send")
    wait_for(lambda: house.pids("qmail-send"), 30, house.story)
    count = len(house.messages())
    house.send(MESSAGE)
    house.wait_messages(count + 1)
    # Either the service or qmail-start's, whichever has the lock.
    assert "has a later format" in \
        house.log("qmail-queued") + house.log("qmail-send")
    assert all(p.read_bytes() == data for p, data in kept.items())


def test_the_tools_show_what_is_in_the_log(house):
    pid = stop_send(house)
    house.send(MESSAGE)
    said = house.run("qmail-qstat").stdout.decode()
    assert said.startswith("messages in queue: 1\n"), said
    assert f"local\t{DOMAIN}-luis@{DOMAIN}" in house.run("qmail-qread").stdout.decode()
    os.kill(pid, signal.SIGCONT)
    house.wait_queue_empty()
    assert house.run("qmail-qstat").stdout.startswith(b"messages in queue: 0\n")


def test_without_room_messages_become_files(house):
    """1,000 records are out: the next ones are files, and nothing is lost."""
    oracle = Oracle(house)
    pid = stop_send(house)
    with house.smtp() as client:
        client.ehlo()
        for n in range(1010):
            text = b"X-Oracle: %032x\r\n\r\nx\r\n" % n
            client.mail(f"ana@{DOMAIN}")
            client.rcpt(f"luis@{DOMAIN}")
            assert client.data(text)[0] == 250
            oracle.accepted.add(f"{n:032x}")
    assert len(files(house, "new")) >= 10
    os.kill(pid, signal.SIGCONT)
    house.wait_queue_empty(120)
    oracle.judge()


def test_a_large_message_is_a_file(house):
    pid = stop_send(house)
    house.send(b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 16000)
    assert len(files(house, "new")) == 1 and len(live(house)) == 0
    house.send(b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 12000)
    assert len(files(house, "new")) == 1 and len(live(house)) == 1
    os.kill(pid, signal.SIGCONT)
    house.wait_queue_empty()


def test_queuelog_0_makes_files(bin):
    made = House(bin)
    made.add_domain()
    made.control("queuelog", "0\n")
    made.start()
    try:
        wait_for(lambda: made.pids("qmail-send"), 20, made.story)
        for _ in range(5):
            made.send(MESSAGE)
        made.wait_messages(5)
        assert list((made.home / "queue/log").iterdir()) == []
    finally:
        made.stop()
        made.remove()


@pytest.mark.root
def test_nobody_but_qmails_hears_of_new_mail(house):
    code = ("import socket,sys; s=socket.socket(socket.AF_UNIX, "
            "socket.SOCK_SEQPACKET); s.settimeout(10); s.connect(sys.argv[1]); "
            "print(s.recv(100))")
    path = str(house.home / "queue/socket/handover")
    # Root may connect, and is sent away; others may not even that.
    done = subprocess.run(["/usr/bin/python3", "-c", code, path], capture_output=True)
    assert done.stdout == b"b''\n", done
    done = subprocess.run(
        ["setpriv", "--reuid", "nobody", "--clear-groups", "/usr/bin/python3", "-c",
         code, path], capture_output=True)
    assert b"PermissionError" in done.stderr, done
    wait_for_log(house)
