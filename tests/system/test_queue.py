"""qmail-queued, qmail-queue and the queue's tools, as they really run."""

import os
import pathlib
import re
import resource
import shutil
import signal
import stat
import subprocess
import time

import pytest

from queuefile import content, record, u64
from queuehouse import (END, ENVELOPE, GO, HELLO, MESSAGE, NOBODY,
                        QueueHouse, REQUEST, answer, calls, children, chunk,
                        done, envelope, recipient, refusal,
                        sender)
from waiting import wait_for

needs_strace = pytest.mark.skipif(shutil.which("strace") is None,
                                  reason="no strace")


@pytest.fixture
def q(bin):
    house = QueueHouse(bin)
    yield house
    house.close()


@pytest.fixture
def up(q):
    q.start()
    return q


# ---- what is queued ----

def test_message_is_queued_byte_for_byte(up):
    before = time.time()
    assert up.put() == 0
    [m] = up.messages()
    assert m.body == MESSAGE
    assert re.fullmatch(
        rb"Received: \(qmail \d+ invoked by uid %d\); "
        rb"\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d -0000" % os.geteuid(),
        m.received)
    assert m.sender == b"a@example.org"
    assert m.recipients == [b"b@example.org"]
    assert m.values(2) == [u64(os.geteuid())]
    assert before - 1 < m.id / 1e6 < time.time() + 1
    assert m.path.parent.name == str(m.id % 3)
    assert stat.S_IMODE(m.path.stat().st_mode) == 0o660
    assert up.files("pid") == []


def test_pid_is_that_of_the_client(up):
    client = up.popen(subprocess.PIPE, subprocess.DEVNULL)
    client.stdin.close()
    assert client.wait(20) == 54  # an envelope that is empty
    with open("/dev/null", "rb") as null:
        read, write = os.pipe()
        client = up.popen(null, read)
        os.close(read)
        os.write(write, ENVELOPE)
        os.close(write)
        assert client.wait(20) == 0
    [m] = up.messages()
    assert m.values(3) == [u64(client.pid)]
    assert b"(qmail %d invoked" % client.pid in m.received


@pytest.mark.parametrize("message", [
    b"", b"\n", b"no newline", b"\0\xff\r\n.\r\n", b"x" * 65535,
    b"x" * 65536, b"x" * 65537, os.urandom(1000000),
], ids=["empty", "newline", "unfinished", "bytes", "64k-1", "64k", "64k+1",
        "1M"])
def test_messages_of_every_size(up, message):
    assert up.put(message) == 0
    [m] = up.messages()
    assert m.body == message


def test_many_recipients(up):
    names = [b"user%d@example.org" % i for i in range(20000)]
    assert up.put(MESSAGE, b"F\0" + b"".join(b"T%s\0" % n for n in names)
                  + b"\0") == 0
    [m] = up.messages()
    assert m.recipients == names
    assert m.sender == b""


def test_addresses_are_any_bytes_but_nul(up):
    address = bytes(range(1, 256))
    assert up.put(MESSAGE, b"F" + address + b"\0T" + address + b"\0\0") == 0
    [m] = up.messages()
    assert m.sender == address and m.recipients == [address]


def test_two_clients_at_once(up):
    clients = []
    for i in range(2):
        zero, one = os.pipe(), os.pipe()
        client = up.popen(zero[0], one[0], pass_fds=())
        os.close(zero[0])
        os.close(one[0])
        clients.append((client, zero[1], one[1]))
    for i, (_, zero, _) in enumerate(clients):
        os.write(zero, b"first half of %d, " % i)
    wait_for(lambda: len(up.files("pid")) == 2, what="two files")
    for i, (_, zero, _) in enumerate(clients):
        os.write(zero, b"second half of %d\n" % i)
        os.close(zero)
    for i, (_, _, one) in reversed(list(enumerate(clients))):
        os.write(one, b"Fs%d\0Tr%d\0\0" % (i, i))
        os.close(one)
    assert [c.wait(20) for c, _, _ in clients] == [0, 0]
    assert sorted((m.body, m.sender, m.recipients[0])
                  for m in up.messages()) == [
        (b"first half of %d, second half of %d\n" % (i, i), b"s%d" % i,
         b"r%d" % i) for i in range(2)]


def test_all_that_the_protocol_can_say(up):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    parts = [record(4, b"8BITMIME"), record(5, b"HDRS"),
             record(6, b"QQ314159"), record(7, b""), record(8, b""),
             record(9, b"4711.2"), recipient(b"c@d"),
             record(17, b"SUCCESS,FAILURE"), record(18, b"rfc822;x@y"),
             recipient(b"e@f")]
    sock.sendall(chunk(b"x") + chunk(b"y\n") + envelope(sender())
                 + envelope(*parts) + END)
    ident = done(sock)
    assert answer(sock) is None
    [m] = up.messages()
    assert m.id == ident and m.body == b"xy\n"
    theirs = [(k, v) for k, v in m.records if k not in (2, 3)]
    assert theirs == [(1, b"a@b"), (4, b"8BITMIME"), (5, b"HDRS"),
                      (6, b"QQ314159"), (7, b""), (8, b""), (9, b"4711.2"),
                      (16, b"Wc@d"), (17, b"SUCCESS,FAILURE"),
                      (18, b"rfc822;x@y"), (16, b"We@f")]
    # Before the recipients, where readers look for them.
    assert [k for k, _ in m.records][:3] == [1, 2, 3]


def test_bytes_may_come_one_by_one(up):
    sock = up.connect()
    for byte in HELLO:
        sock.send(bytes([byte]))
    assert answer(sock) == GO
    for byte in REQUEST:
        sock.send(bytes([byte]))
    done(sock)
    assert len(up.messages()) == 1


def test_a_connection_may_take_message_after_message(up):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    idents = []
    for _ in range(3):
        sock.sendall(REQUEST + HELLO)
        idents.append(done(sock))
        assert answer(sock) == GO
    sock.sendall(REQUEST)
    idents.append(done(sock))
    assert answer(sock) is None
    assert sorted(idents) == idents
    assert [m.id for m in up.messages()] == idents
    assert all(m.body == b"x\n" and m.recipients == [b"c@d"]
               and [k for k, _ in m.records].count(1) == 1 for m in up.messages())


@pytest.mark.parametrize("behind", [HELLO + REQUEST, HELLO + HELLO, REQUEST,
                                    record(1, b"valija-enqueue 2"), b"x" * 40])
def test_who_does_not_wait_is_not_let_in_again(up, behind):
    sock = up.connect()
    sock.sendall(HELLO + REQUEST + behind)
    assert answer(sock) == GO
    ident = done(sock)
    assert answer(sock) is None
    assert [m.id for m in up.messages()] == [ident]
    assert not up.files("pid")


def test_who_is_let_in_again_and_says_nothing_leaves_nothing(q):
    q.start("-t", 1)
    sock = q.connect()
    sock.sendall(HELLO + REQUEST + HELLO)
    assert answer(sock) == GO
    done(sock)
    assert answer(sock) == GO
    assert q.files("pid") == []
    assert answer(sock) is None
    assert len(q.messages()) == 1


def test_ids_are_distinct_and_rise(up):
    idents = []
    for _ in range(20):
        sock = up.connect()
        sock.sendall(HELLO + REQUEST)
        assert answer(sock) == GO
        idents.append(done(sock))
    assert sorted(set(idents)) == idents
    assert [m.id for m in up.messages()] == idents


def test_home_with_a_long_path(bin):
    """A socket's address has 108 bytes; a home's path may have more."""
    house = QueueHouse(bin, below="a-long-name-" * 8 + "/" + "another-" * 12)
    try:
        house.start()
        assert house.put() == 0
        assert len(house.messages()) == 1
    finally:
        house.close()


def test_trigger_is_pulled(up):
    fd = os.open(up.queue / "lock/trigger", os.O_RDONLY | os.O_NONBLOCK)
    assert up.put() == 0
    wait_for(lambda: os.read(fd, 10), what="the trigger")
    os.close(fd)


def test_nobody_at_the_trigger_is_no_failure(up):
    (up.queue / "lock/trigger").unlink()
    assert up.put() == 0


def test_qmailqueue_is_for_others(up):
    assert up.put(env={"QMAILQUEUE": "/bin/false"}) == 0


# ---- exit codes ----

@pytest.mark.parametrize("code,data", [
    (91, b"Fa\0\0"), (91, b"Ta\0\0"), (91, b"\0"), (91, b"fa\0Tb\0\0"),
    (91, b"Fa\0Xb\0\0"), (91, b"Fa\0tb\0\0"), (91, b"Fa\0Fb\0Tc\0\0"),
    (54, b""), (54, b"F"), (54, b"Fa\0"), (54, b"Fa\0Tb"), (54, b"Fa\0Tb\0"),
    (11, b"F" + b"a" * 1004 + b"\0Tb\0\0"),
    (11, b"Fa\0Tb\0T" + b"a" * 1004 + b"\0\0"),
    (11, b"F" + b"a" * 100000),
    (0, b"F" + b"a" * 1003 + b"\0T" + b"b" * 1003 + b"\0\0"),
    (0, b"F\0T\0\0"), (0, b"Fa\0Tb\0\0what follows"),
])
def test_envelopes(up, code, data):
    assert up.put(MESSAGE, data) == code
    wait_for(lambda: up.files("pid") == [], what="an empty pid/")
    assert len(up.messages()) == (code == 0)


def test_endless_envelope_is_refused_for_good(up):
    address = b"T" + b"x" * 1003 + b"\0"
    assert up.put(MESSAGE, b"F\0" + address * 67000 + b"\0") == 31
    up.assert_empty()


def test_no_server_is_temporary(q):
    started = time.monotonic()
    assert q.put(env={"VALIJA_TEST_ENQUEUE_WAIT_MS": "300"}) == 71
    assert 0.2 < time.monotonic() - started < 10


def test_client_waits_for_a_server_that_starts(q):
    with open("/dev/null", "rb") as null:
        read, write = os.pipe()
        os.write(write, ENVELOPE)
        os.close(write)
        client = q.popen(null, read)
        os.close(read)
        q.start()
        assert client.wait(20) == 0
    assert len(q.messages()) == 1


def test_server_that_does_not_answer(up):
    os.kill(up.pid(), signal.SIGSTOP)
    assert up.put(env={"VALIJA_TEST_ENQUEUE_WAIT_MS": "300"}) == 72
    os.kill(up.pid(), signal.SIGCONT)
    assert up.put() == 0


def test_socket_out_of_reach(bin):
    if os.geteuid() == 0:
        house = QueueHouse(bin)
        kw = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    else:
        house = QueueHouse(bin)
        kw = {}
    house.start()
    (house.queue / "socket").chmod(0)
    try:
        assert house.put(**kw) == 73
    finally:
        (house.queue / "socket").chmod(0o755)
        house.close()


def test_server_lost_in_the_middle(up):
    zero = os.pipe()
    read, write = os.pipe()
    os.write(write, ENVELOPE)
    os.close(write)
    client = up.popen(zero[0], read)
    os.close(zero[0])
    os.close(read)
    os.write(zero[1], b"x" * 40000)
    wait_for(lambda: up.files("pid"), what="a file")
    up.stop(signal.SIGKILL)
    os.close(zero[1])
    assert client.wait(20) == 74


def test_alarm_is_the_limit_of_24_hours(up):
    zero = os.pipe()
    client = up.popen(zero[0], subprocess.DEVNULL)
    os.close(zero[0])
    wait_for(lambda: up.files("pid"), what="a file")
    client.send_signal(signal.SIGALRM)
    assert client.wait(20) == 52
    os.close(zero[1])
    wait_for(lambda: up.files("pid") == [], what="an empty pid/")


def test_alarm_counts_even_when_the_caller_blocks_it(up):
    def block():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    zero = os.pipe()
    client = up.popen(zero[0], subprocess.DEVNULL, preexec_fn=block)
    os.close(zero[0])
    wait_for(lambda: up.files("pid"), what="a file")
    client.send_signal(signal.SIGALRM)
    assert client.wait(20) == 52
    os.close(zero[1])


def test_home_that_is_not_there(up):
    kw = {"env": {"QMAILHOME": "/nonexistent/home"}}
    if os.geteuid() == 0:
        kw.update(user=NOBODY, group=NOBODY, extra_groups=[])
    assert up.put(**kw) == 61


@pytest.mark.parametrize("limit,code", [(3, 61), (4, 56)])
def test_too_few_descriptors(up, limit, code):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    assert up.put(preexec_fn=lower) == code
    up.assert_empty()


def closing(*fds):
    def close():
        for fd in fds:
            os.close(fd)
    return close


@pytest.mark.parametrize("fds,code", [
    ((0,), 54), ((1,), 54), ((0, 1), 54), ((2,), 0), ((0, 1, 2), 54)])
def test_closed_descriptors(up, fds, code):
    assert up.put(preexec_fn=closing(*fds)) == code
    wait_for(lambda: up.files("pid") == [], what="an empty pid/")
    assert len(up.messages()) == (code == 0)


def test_file_size_limit_of_the_caller_does_not_matter(up):
    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    assert up.put(b"x" * 100000, preexec_fn=lower) == 0


def test_out_of_memory_has_its_code(up):
    seen = set()
    envelope = b"F\0" + b"Tsomebody@example.org\0" * 10000 + b"\0"
    for kilobytes in range(64, 1024, 16):
        def lower():
            limit = kilobytes * 1024
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        seen.add(up.put(b"x" * 300000, envelope, preexec_fn=lower,
                        stderr=subprocess.DEVNULL))
        if 0 in seen:
            break
    assert 51 in seen and 0 in seen
    # What remains is a loader that could not even begin.
    assert seen <= {0, 51, 61, 127, -signal.SIGSEGV, -signal.SIGABRT,
                    -signal.SIGKILL}
    assert len(up.messages()) == 1


def test_missing_folder_is_code_63(up):
    for shard in (up.queue / "pid").iterdir():
        shard.rmdir()
    assert up.put() == 63
    assert b"cannot create a file in queue/pid" in up.log()


def test_missing_new_is_code_65(up):
    for shard in (up.queue / "new").iterdir():
        shard.rmdir()
    assert up.put() == 65
    assert up.files("pid") == []


# ---- the protocol refused ----

@pytest.mark.parametrize("data,code", [
    (record(1, b"valija-enqueue 2"), 81),
    (record(1, b""), 81),
    (record(2, b"x"), 91),
    (record(4711, b""), 91),
    (u64(1) + u64(2**64 - 1), 91),
])
def test_wrong_hello(up, data, code):
    sock = up.connect()
    sock.sendall(data)
    assert refusal(sock) == code
    assert answer(sock) is None
    up.assert_empty()


@pytest.mark.parametrize("data,code", [
    (HELLO, 91),
    (END, 91),
    (record(16, b""), 91),
    (u64(2) + u64(65537), 91),
    (u64(3) + u64(2**63), 91),
    (envelope(sender()) + END, 91),
    (envelope(recipient()), 91),
    (envelope(sender(), sender()), 91),
    (envelope(sender(), record(2, u64(0))), 91),
    (envelope(sender(), record(3, u64(0))), 91),
    (envelope(sender(), record(16, b"Dx")), 91),
    (envelope(sender(), record(16, b"")), 91),
    (envelope(sender(b"a\0b")), 91),
    (envelope(sender(b"a" * 1004)), 11),
    (envelope(sender(), recipient(b"a" * 1004)), 11),
    (envelope(sender(), recipient(), record(18, b"a\nb")), 91),
    (record(3, sender()[:-1]), 91),
    (envelope(sender()) + chunk(b"x"), 91),
])
def test_wrong_requests(up, data, code):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    sock.sendall(data)
    assert refusal(sock) == code
    assert answer(sock) is None
    up.assert_empty()
    assert up.put() == 0


# ---- clients that go away, stay, or crowd ----

def test_killed_client_leaves_nothing(up):
    zero = os.pipe()
    client = up.popen(zero[0], subprocess.DEVNULL)
    os.close(zero[0])
    os.write(zero[1], b"x" * 60000)
    [path] = wait_for(lambda: up.files("pid"), what="a file")
    client.kill()
    client.wait()
    os.close(zero[1])
    wait_for(lambda: up.files("pid") == [], what="an empty pid/")
    assert up.files("new") == []


@pytest.mark.parametrize("cut", [0, 1, 16, 40, 60, len(REQUEST) - 16,
                                 len(REQUEST) - 1])
def test_connection_cut_before_the_end_leaves_nothing(up, cut):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    assert len(up.files("pid")) == 1
    sock.sendall(REQUEST[:cut])
    sock.close()
    wait_for(lambda: up.files("pid") == [], what="an empty pid/")
    assert up.files("new") == []


def test_client_gone_after_its_end_is_queued(up):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    sock.sendall(REQUEST)
    sock.close()
    wait_for(lambda: up.files("new"), what="the message")
    up.stop()
    assert len(up.messages()) == 1


def test_silent_client_is_dropped(q):
    q.start("-t", 1)
    sock = q.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    assert refusal(sock) == 52
    assert q.files("pid") == []


def test_dripping_client_is_dropped_too(q):
    """DO2: the limit is for the whole message."""
    q.start("-T", 1)
    sock = q.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    sock.setblocking(False)
    for _ in range(1000):
        try:
            sock.send(chunk(b"x"))
            time.sleep(0.01)
        except OSError:
            break
    sock.setblocking(True)
    assert refusal(sock) == 52


def test_slots_are_limited_and_come_back(q):
    q.start("-s", 3)
    socks = [q.connect() for _ in range(3)]
    for sock in socks:
        sock.sendall(HELLO)
        assert answer(sock) == GO
    assert q.put() == 71
    socks.pop().close()
    wait_for(lambda: len(q.files("pid")) == 2, what="a free slot")
    assert q.put() == 0
    assert b"too many clients" in q.log()


def test_few_descriptors_mean_few_slots(q):
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
    q.start(preexec_fn=lower)
    socks = [q.connect() for _ in range(6)]
    for sock in socks[:5]:
        sock.sendall(HELLO)
        assert answer(sock) == GO
    assert refusal(socks[5]) == 71
    socks[0].sendall(REQUEST)
    done(socks[0])


# ---- starting and stopping ----

def test_pid_folder_is_emptied_at_start(q):
    (q.queue / "pid/0/123").write_bytes(b"left over")
    (q.queue / "new/0/123").write_bytes(b"not ours to touch")
    q.start()
    assert q.files("pid") == []
    assert [p.name for p in q.files("new")] == ["123"]


def test_second_server_waits_for_the_lock(up):
    first = up.server
    second = up.start(wait=False)
    wait_for(lambda: b"waiting for queue/socket/lock" in up.log(),
             what="the second one")
    assert up.put() == 0
    first.terminate()
    assert first.wait(20) == 0
    wait_for(lambda: up.log().count(b": listening") == 2, what="the second one")
    assert second.poll() is None
    assert up.put() == 0
    assert len(up.messages()) == 2


def test_killed_server_is_followed_by_another(up):
    up.stop(signal.SIGKILL)
    up.start()
    assert up.put() == 0


def test_end_of_input_ends_it(q):
    q.start("-e", stdin=subprocess.PIPE)
    assert q.put() == 0
    q.server.stdin.close()
    assert q.server.wait(20) == 0
    assert len(q.messages()) == 1


def test_end_of_input_ends_one_that_waits(up):
    waiting = up.start("-e", wait=False, stdin=subprocess.PIPE)
    wait_for(lambda: b"waiting for" in up.log(), what="the second one")
    waiting.stdin.close()
    assert waiting.wait(20) == 0
    assert up.put() == 0


def test_term_sends_away_who_has_not_finished(up):
    sock = up.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    sock.sendall(chunk(b"half"))
    up.server.terminate()
    assert refusal(sock) == 71
    assert up.server.wait(20) == 0
    up.free()
    up.assert_empty()


@pytest.fixture
def reader(up):
    """Somebody at the trigger, as long as a qmail-send runs."""
    fd = os.open(up.queue / "lock/trigger", os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def ignores_term(up):
    """True once it has taken the signal, and takes messages all the same."""
    up.server.terminate()
    status = pathlib.Path(f"/proc/{up.pid()}/status")
    wait_for(lambda: re.search(r"ShdPnd:\s0+$", status.read_text(), re.M), 20,
             "SIGTERM to be taken")
    return up.put() == 0


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_term_waits_for_qmail_send_unless_told_again(up, reader, sig):
    assert ignores_term(up)
    assert up.server.poll() is None
    os.kill(up.pid(), sig)
    assert up.server.wait(5) == 0


def test_term_waits_no_longer_than_qmail_send_runs(up, reader):
    assert ignores_term(up)
    assert up.server.poll() is None
    # The test's own copy is the last one.
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, reader)
    os.close(null)
    assert up.server.wait(5) == 0


def test_int_waits_for_nobody(up, reader):
    up.server.send_signal(signal.SIGINT)
    assert up.server.wait(5) == 0


@pytest.mark.soak
def test_term_does_not_wait_for_ever(up, reader):
    assert ignores_term(up)
    assert up.server.wait(20) == 0


@needs_strace
def test_term_waits_for_what_is_being_committed(q):
    q.start("-c", 1, strace=["-e", "trace=fsync",
                             "--inject=fsync:delay_enter=1000000"])
    sock = q.connect()
    sock.sendall(HELLO + REQUEST)
    assert answer(sock) == GO
    wait_for(lambda: q.files("new"), what="the rename")
    os.kill(q.pid(), signal.SIGTERM)
    ident = done(sock)
    assert q.server.wait(20) == 0
    assert [m.id for m in q.messages()] == [ident]


def run_server(house, *args):
    return subprocess.run([house.home / "bin/qmail-queued", *args],
                          capture_output=True, timeout=20, **house.user())


@pytest.mark.parametrize("args", [["-x"], ["x"], ["-c", "0"], ["-c", "x"],
                                  ["-s", "-1"], ["-c"]])
def test_misuse_is_100(q, args):
    result = run_server(q, *args)
    assert result.returncode == 100
    assert result.stderr.startswith(b"qmail-queued: usage: ")


@pytest.mark.parametrize("text,words", [
    ("valija-queue 2\nsplit 3\n", b"newer version"),
    ("valija-queue 1\nsplit 0\n", b"cannot use queue/format"),
    ("", b"cannot use queue/format"),
    (None, b"no queue/format"),
])
def test_format_that_is_not_ours(q, text, words):
    (q.queue / "pid/0/123").write_bytes(b"x")
    (q.queue / "format").unlink()
    if text is not None:
        (q.queue / "format").write_text(text)
    result = run_server(q)
    assert result.returncode == 111
    assert words in result.stderr and result.stderr.count(b"\n") == 1
    assert [p.name for p in q.files("pid")] == ["123"]  # nothing is touched
    assert list((q.queue / "socket").iterdir()) == []


def test_ids_that_do_not_fit_the_queue(q):
    (q.home / "users/ids").write_text("single 12345 12345\n")
    result = run_server(q)
    assert result.returncode == 111 and result.stderr.count(b"\n") == 1
    (q.home / "users/ids").unlink()
    result = run_server(q)
    assert result.returncode == 111
    assert b"cannot read users/ids" in result.stderr


def test_socket_is_open_to_all(up):
    st = (up.queue / "socket/enqueue").stat()
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o666


def test_committers_keep_only_what_they_need(up):
    socks = [up.connect() for _ in range(5)]
    assert up.put() == 0
    assert len(up.committers()) == 8
    for pid in up.committers():
        assert sorted(map(int, os.listdir(f"/proc/{pid}/fd"))) == \
            [0, 1, 2, 3, 4, 5]
    del socks


def test_dead_committer_fails_its_message_only(q):
    q.start("-c", 1)
    [committer] = q.committers()
    os.kill(committer, signal.SIGSTOP)
    first, second = q.connect(), q.connect()
    first.sendall(HELLO + REQUEST)
    assert answer(first) == GO
    wait_for(lambda: len(q.files("new")) == 1, what="the rename")
    second.sendall(HELLO + REQUEST)
    assert answer(second) == GO
    wait_for(lambda: len(q.files("new")) == 2, what="the rename")
    os.kill(committer, signal.SIGKILL)
    assert refusal(first) == 53
    ident = done(second)
    assert [m.id for m in q.messages()] == [ident]
    assert q.committers() != [committer]


# ---- the order of steps ----

def interesting(trace, *names):
    return [(pid, call, line) for pid, call, line in calls(trace)
            if call in names and "resumed" not in line]


def index(found, pattern, after=-1):
    for i, (_, _, line) in enumerate(found):
        if i > after and re.search(pattern, line):
            return i
    raise AssertionError(f"no {pattern} after {after}")


TRACED = "trace=renameat2,fsync,flock,sendto,openat,unlinkat,sendmsg,linkat"


def check_order(house, folder_too):
    trace = house.trace()
    found = interesting(trace, "renameat2", "fsync", "flock", "sendto",
                        "openat")
    name = re.search(r'"queue/pid/\d+/(\d+)"', trace)[1]
    create = index(found, rf'openat.*queue/pid/\d+/{name}".*O_EXCL')
    fd = re.search(r"= (\d+)", found[create][2])[1]
    lock = index(found, rf"flock\({fd}, LOCK_EX", create)
    rename = index(found, rf"renameat2.*queue/new/.*RENAME_NOREPLACE", lock)
    sync = index(found, r"fsync\(\d+\)", rename)
    assert found[sync][0] != found[create][0]  # by a committer
    assert " = 0" in found[sync][2]
    last = sync
    if folder_too:
        folder = index(found, r'openat.*queue/new/\d+".*O_DIRECTORY', sync)
        last = index(found, r"fsync\(\d+\) += 0", folder)
        assert found[last][0] == found[sync][0]
    else:
        assert len([1 for _, call, _ in found if call == "fsync"]) == 1
    unlock = index(found, rf"flock\({fd}, LOCK_UN", last)
    # DONE: type 17.
    said = index(found, r'sendto\(\d+, "\\21', unlock)
    index(found, r"openat.*lock/trigger", said)


@needs_strace
def test_synced_unlocked_answered_triggered_in_this_order(q):
    # -y would resolve names; here descriptors are enough.
    q.start("-c", 1, strace=["-e", TRACED])
    assert q.put() == 0
    q.stop()
    check_order(q, folder_too=True)


@needs_strace
def test_journal_mode_syncs_the_file_only(bin):
    # Root would find out that the file system here promises nothing.
    owner = (NOBODY, NOBODY) if os.geteuid() == 0 else None
    house = QueueHouse(bin, owner=owner)
    try:
        path = house.queue / "format"
        path.write_text(re.sub("sync .*", "sync journal", path.read_text()))
        house.start("-c", 1, strace=["-e", TRACED])
        assert b"sync journal" in house.log()
        assert house.put() == 0
        house.stop()
        check_order(house, folder_too=False)
    finally:
        house.close()


def test_queuesync_asks_for_the_folder_too(bin):
    owner = (NOBODY, NOBODY) if os.geteuid() == 0 else None
    house = QueueHouse(bin, owner=owner)
    try:
        path = house.queue / "format"
        path.write_text(re.sub("sync .*", "sync journal", path.read_text()))
        (house.home / "control/queuesync").write_text("posix\n")
        house.start()
        assert b"sync posix" in house.log()
    finally:
        house.close()


@pytest.mark.root
def test_root_does_not_believe_a_copied_format(q):
    if subprocess.run(["stat", "-f", "-c", "%T", q.queue], check=True,
                      capture_output=True).stdout.strip() != b"tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "none", q.queue], check=True)
    try:
        subprocess.run([q.home / "bin/qmail-qmake"], check=True)
        path = q.queue / "format"
        assert "sync posix" in path.read_text()
        path.write_text(re.sub("sync .*", "sync journal", path.read_text()))
        q.start()
        assert b"sync posix" in q.log()
        q.stop()
        q.free()
    finally:
        subprocess.run(["umount", "-l", q.queue], check=True)


@pytest.fixture
def disk(q):
    """mount(kind, ...): a fresh file system at queue/."""
    image = q.home / "image"

    def mount(kind, *options):
        if q.queue.is_mount():
            subprocess.run(["umount", q.queue], check=True)
        image.unlink(missing_ok=True)
        with open(image, "wb") as file:
            file.truncate(320 << 20)
        subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True,
                       capture_output=True)
        done = subprocess.run(["mount", "-o", "loop", image, q.queue],
                              capture_output=True)
        if done.returncode:
            pytest.skip("no loop devices")
        subprocess.run([q.home / "bin/qmail-qmake"], check=True)

    yield mount
    if q.server and q.server.poll() is None:
        q.stop()
    q.free()
    if q.queue.is_mount():
        subprocess.run(["umount", "-l", q.queue], check=True)


@pytest.mark.root
@needs_strace
def test_mode_is_found_out_on_ext4(q, disk):
    for options, sync in (((), "journal"),
                          (("-O", "^has_journal"), "posix"),
                          (("-O", "fast_commit"), "posix")):
        disk("ext4", "-F", *options)
        assert f"sync {sync}\n" in (q.queue / "format").read_text()
        q.start("-c", 1, strace=["-e", TRACED])
        assert f"sync {sync}".encode() in q.log().splitlines()[-1]
        assert q.put() == 0
        q.stop()
        q.free()
        check_order(q, folder_too=sync == "posix")


@pytest.mark.root
@pytest.mark.parametrize("kind", [
    kind for kind in ("ext4", "xfs", "btrfs") if shutil.which(f"mkfs.{kind}")])
def test_file_systems_of_which_the_journal_is_enough(q, disk, kind):
    disk(kind)
    assert "sync journal" in (q.queue / "format").read_text()
    q.start()
    assert q.put() == 0
    assert len(q.messages()) == 1


# ---- faults ----

def injected(house):
    return "(INJECTED)" in house.trace()


@needs_strace
def test_failed_fsync_is_final_and_leaves_nothing(q):
    q.start("-c", 1, strace=["-e", "trace=fsync,unlinkat,flock",
                             "--inject=fsync:error=EIO:when=1"])
    assert q.put() == 53
    q.assert_empty()
    assert injected(q)
    assert b"cannot sync a message" in q.log()
    found = interesting(q.trace(), "fsync", "unlinkat", "flock")
    failed = index(found, "INJECTED")
    gone = index(found, r"unlinkat.*queue/new/", failed)
    unlock = index(found, "LOCK_UN", gone)
    assert unlock == gone + 1 == failed + 2  # unlinked, then unlocked
    # The next one is a new file with a sync of its own.
    assert q.put() == 0
    assert len(q.messages()) == 1


@needs_strace
def test_failed_sync_of_the_folder_counts_too(q):
    q.start("-c", 1, strace=["-e", "trace=fsync",
                             "--inject=fsync:error=EIO:when=2"])
    assert b"sync posix" in q.log()
    assert q.put() == 53
    q.assert_empty()
    assert injected(q)


@needs_strace
@pytest.mark.parametrize("inject,code", [
    ("write:error=ENOSPC:when=2", 53),
    ("write:error=EIO:when=2", 53),
    ("write:error=EDQUOT:when=2", 53),
    ("renameat2:error=EIO", 53),
    ("renameat2:error=EACCES", 65),
    ("flock:error=ENOLCK:when=2", 65),
    ("fstatfs:error=EACCES", 62),
    ("openat:error=EMFILE:when=%d", 71),
    ("openat:error=EROFS:when=%d", 53),
])
def test_failed_step_leaves_nothing(q, inject, code):
    if "%d" in inject:
        # Which openat of the main process creates the file?
        q.start("-c", 1, strace=["-e", "trace=openat"])
        assert q.put() == 0
        q.stop()
        [file] = q.files("new")
        file.unlink()
        main = calls(q.trace())[0][0]
        opens = [line for pid, _, line in interesting(q.trace(), "openat")
                 if pid == main]
        inject = inject % (1 + next(i for i, line in enumerate(opens)
                                    if "queue/pid" in line and
                                    "O_EXCL" in line))
    q.start("-c", 1, strace=["-e", "trace=%s" % inject.split(":")[0],
                             "--inject=" + inject])
    assert q.put() == code
    assert injected(q)
    q.assert_empty()


@needs_strace
def test_envelope_that_cannot_be_written_is_code_66(q):
    q.start("-c", 1, strace=["-e", "trace=write",
                             "--inject=write:error=EPERM:when=2"])
    assert q.put(b"", b"F\0" + b"Tsomebody@example.org\0" * 5000 + b"\0") == 66
    assert injected(q)
    q.assert_empty()


@needs_strace
def test_taken_name_raises_the_id(q):
    q.start("-c", 1, strace=["-e", "trace=renameat2",
                             "--inject=renameat2:error=EEXIST:when=1"])
    assert q.put() == 0
    assert injected(q)
    [m] = q.messages()  # checks name, footer and shard
    renames = [line for _, call, line in calls(q.trace())
               if call == "renameat2"]
    assert len(renames) == 2
    assert str(m.id) in renames[1] and str(m.id) not in renames[0]
    assert b"is taken by an older message" in q.log()


@needs_strace
def test_without_noreplace_it_links_and_unlinks(q):
    q.start("-c", 1, strace=["-e", "trace=renameat2,linkat,unlinkat",
                             "--inject=renameat2:error=EINVAL"])
    assert q.put() == 0
    assert injected(q)
    [m] = q.messages()
    assert m.path.stat().st_nlink == 1
    assert q.files("pid") == []


@needs_strace
def test_message_that_cannot_be_removed_is_emptied(q):
    q.start("-c", 1, strace=["-e", "trace=fsync,unlinkat",
                             "--inject=fsync:error=EIO",
                             "--inject=unlinkat:error=EIO"])
    assert q.put() == 53
    assert injected(q)
    [path] = q.files("new")
    assert path.stat().st_size == 0


@needs_strace
def test_interrupted_calls_are_repeated(q):
    names = "write,recvfrom,accept4,fsync,sendmsg,recvmsg,poll"
    q.start("-c", 1, strace=["-e", f"trace={names}",
                             f"--inject={names}:error=EINTR:when=2+3"])
    for size in (10, 300000, 10):
        assert q.put(b"x" * size) == 0
    assert injected(q)
    assert [len(m.body) for m in q.messages()] == [10, 300000, 10]


def traced_client(house, *options):
    """qmail-queue under strace: its exit code."""
    with open(house.home / "message", "wb") as file:
        file.write(b"x" * 100000)
    with open(house.home / "envelope", "wb") as file:
        file.write(ENVELOPE)
    with open(house.home / "message", "rb") as zero, \
            open(house.home / "envelope", "rb") as one:
        return subprocess.run(
            ["strace", "-qq", "-o", house.home / "trace", *options,
             house.home / "bin/qmail-queue"], stdin=zero, stdout=one,
            timeout=60).returncode


@needs_strace
def test_interrupted_client_goes_on(up):
    names = "read,sendto,recvfrom,poll,connect"
    assert traced_client(up, "-e", f"trace={names}",
                         f"--inject={names}:error=EINTR:when=1+2") == 0
    assert injected(up)
    [m] = up.messages()
    assert len(m.body) == 100000


@needs_strace
def test_client_killed_at_its_calls_leaves_all_or_nothing(up):
    assert traced_client(up, "-e", "trace=all") == 0
    [m] = up.messages()
    m.path.unlink()
    names = [line.split("(")[0] for line in up.trace().splitlines()
             if "(" in line and not line.startswith(("---", "execve"))]
    for name in sorted(set(names)):
        last = names.count(name)
        for number in sorted({1, (last + 1) // 2, last}):
            code = traced_client(
                up, "-e", f"trace={name}",
                f"--inject={name}:signal=KILL:when={number}")
            assert code in (-signal.SIGKILL, 128 + signal.SIGKILL), name
            wait_for(lambda: up.files("pid") == [], what="an empty pid/")
            left = up.messages()  # sound, if any
            assert len(left) <= 1
            for m in left:
                assert len(m.body) == 100000
                m.path.unlink()


@needs_strace
def test_accept_without_descriptors_does_not_spin(q):
    q.start("-c", 1, strace=["-e", "trace=accept4",
                             "--inject=accept4:error=EMFILE:when=1..2"])
    assert q.put() == 0
    assert injected(q)
    assert len([1 for _, call, _ in calls(q.trace())
                if call == "accept4"]) < 10
    assert b"cannot accept a client" in q.log()


def test_file_too_large_is_temporary(q):
    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000))
    q.start(preexec_fn=lower)
    assert q.put(b"x" * 1000000) == 53
    wait_for(lambda: q.files("pid") == [], what="an empty pid/")
    assert q.put(b"x" * 1000) == 0


@pytest.mark.root
def test_full_disk_is_temporary_and_recovers(q):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none",
                    q.queue], check=True)
    try:
        subprocess.run([q.home / "bin/qmail-qmake"], check=True)
        q.start()
        assert q.put(b"x" * 20000000) == 53
        wait_for(lambda: q.files("pid") == [], what="an empty pid/")
        assert q.put() == 0
        filler = q.queue / "filler"
        filler.write_bytes(b"x" * 13000000)
        assert q.put() == 53  # said before a byte is sent
        assert b"cannot find space" in q.log()
        filler.unlink()
        assert q.put() == 0
        assert len(q.messages()) == 2
        q.stop()
        q.free()
    finally:
        subprocess.run(["umount", "-l", q.queue], check=True)


def test_file_that_lies_in_mess_is_not_overwritten(up):
    """The names of all microseconds to come cannot be taken; one can."""
    assert up.put() == 0
    [m] = up.messages()
    taken = up.queue / "mess" / m.path.parent.name / m.path.name
    m.path.rename(taken)
    assert up.put() == 0
    assert taken.exists() and len(up.messages()) == 1


# ---- kill -9 at system calls ----

def recorded_calls(house):
    """How often the main process and the committer make each call."""
    house.start("-c", 1, strace=[])
    assert house.put() == 0
    house.stop()
    house.free()
    counts = {}
    pids = []
    for pid, call, line in calls(house.trace()):
        if "resumed" in line or call in ("exit_group", "execve"):
            continue
        if pid not in pids:
            pids.append(pid)
        key = (pids.index(pid) > 0, call)
        counts[key] = counts.get(key, 0) + 1
    for path in house.files("new"):
        path.unlink()
    return counts


def kill_at(house, call, number):
    house.start("-c", 1, wait=False, strace=[
        "-e", f"trace={call}", f"--inject={call}:signal=KILL:when={number}"])
    # It may die before it listens: then the client waits for the next one.
    code = house.put(env={"VALIJA_TEST_ENQUEUE_WAIT_MS": "1000"})
    def ended():  # on a busy machine it may only just begin
        for pid in children(house.server.pid) if house.server.poll() is None \
                else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return house.server.poll() is not None

    wait_for(ended, 30, "the end of strace")
    house.free()
    left = house.messages()  # each must be sound
    assert len(left) <= 1
    if code == 0:
        assert len(left) == 1
    house.start()
    assert house.files("pid") == []
    assert house.put() == 0
    assert len(house.messages()) == len(left) + 1
    assert house.stop() == 0
    house.free()
    for path in house.files("new"):
        path.unlink()
    return code


STEPS = ("renameat2", "fsync", "flock", "unlinkat", "sendto", "sendmsg",
         "recvmsg", "recvfrom", "accept4", "openat", "write", "poll", "close",
         "newfstatat", "bind", "listen", "clone", "fork", "ftruncate")


@needs_strace
def test_killed_at_sampled_calls_loses_nothing(q):
    counts = recorded_calls(q)
    points = set()
    for (_, call), count in counts.items():
        if call in STEPS:
            points.add((call, count))
    # The calls that make up a commit: all of them.
    for call in ("renameat2", "fsync", "flock", "write"):
        for committer in (False, True):
            points |= {(call, n + 1)
                       for n in range(counts.get((committer, call), 0))}
    codes = [kill_at(q, call, number) for call, number in sorted(points)]
    assert set(codes) - {0} <= {71, 72, 74, 53}
    assert 0 in codes and 74 in codes


@pytest.mark.soak
@needs_strace
def test_killed_at_every_call_loses_nothing(q):
    counts = recorded_calls(q)
    for (_, call), count in sorted(counts.items()):
        for number in range(1, count + 1):
            assert kill_at(q, call, number) in (0, 53, 71, 72, 74)


# ---- under the uids of a real installation ----

IDS = """\
alias 7790 2108
qmaild 7791 2108
qmaill 7792 2108
root 0 0
qmailp 7793 2108
qmailq 7794 2107
qmailr 7795 2108
qmails 7796 2107
qmailt 7797 2108
qmaila 7798 2108
group:qmail 2107
group:nofiles 2108
"""
ALIAS, QMAILD, QMAILQ, QMAILR, QMAILS = 7790, 7791, 7794, 7795, 7796


def as_user(uid, gid=2108):
    return {"user": uid, "group": gid, "extra_groups": []}


@pytest.fixture
def real(bin):
    house = QueueHouse(bin, ids=IDS)
    yield house
    house.close()


@pytest.mark.root
def test_owners_and_modes(real):
    real.start()
    assert real.put() == 0
    want = {
        "": (QMAILQ, 2107, 0o755), "format": (0, 0, 0o644),
        "pid": (QMAILQ, 2107, 0o700), "pid/2": (QMAILQ, 2107, 0o700),
        "new": (QMAILQ, 2107, 0o770), "new/0": (QMAILQ, 2107, 0o770),
        "mess": (QMAILQ, 2107, 0o770), "mess/1": (QMAILQ, 2107, 0o770),
        "bounce": (QMAILS, 2107, 0o700), "bounce/1": (QMAILS, 2107, 0o700),
        "bad": (QMAILQ, 2107, 0o770), "socket": (QMAILQ, 2107, 0o755),
        "socket/enqueue": (QMAILQ, 2107, 0o666),
        "socket/lock": (QMAILQ, 2107, 0o600),
        "lock": (0, 0, 0o711), "lock/trigger": (QMAILS, 2107, 0o620),
        "lock/sendmutex": (QMAILS, 2107, 0o600),
        "lock/tcpto": (QMAILR, 2108, 0o644),
    }
    for name, expected in want.items():
        st = (real.queue / name).stat()
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == expected, \
            name
    [path] = real.files("new")
    st = path.stat()
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == \
        (QMAILQ, 2107, 0o660)


@pytest.mark.root
def test_qmake_repairs_owners_and_modes(real):
    os.chown(real.queue / "new/1", 0, 0)
    (real.queue / "pid").chmod(0o777)
    before = (real.queue / "format").read_bytes()
    subprocess.run([real.home / "bin/qmail-qmake"], check=True)
    assert (real.queue / "new/1").stat().st_uid == QMAILQ
    assert stat.S_IMODE((real.queue / "pid").stat().st_mode) == 0o700
    assert (real.queue / "format").read_bytes() == before


@pytest.mark.root
def test_root_becomes_qmailq_at_once(real):
    real.start()
    for pid in [real.pid(), *real.committers()]:
        with open(f"/proc/{pid}/status") as status:
            text = status.read()
        assert re.search(r"^Uid:\t7794\t7794\t7794\t7794$", text, re.M)
        assert re.search(r"^Gid:\t2107\t2107\t2107\t2107$", text, re.M)
        assert re.search(r"^Groups:\t2107 *$", text, re.M)
        assert re.search(r"^NoNewPrivs:\t1$", text, re.M)


@pytest.mark.root
def test_others_than_root_and_qmailq_are_refused(real):
    result = subprocess.run([real.home / "bin/qmail-queued"],
                            capture_output=True, timeout=20, **as_user(NOBODY))
    assert result.returncode == 111 and b"must be started" in result.stderr


@pytest.mark.root
def test_owner_of_the_queue_must_be_qmailq(real):
    os.chown(real.queue, NOBODY, NOBODY)
    result = run_server(real)
    assert result.returncode == 111
    assert b"queue belongs to uid 65534" in result.stderr


@pytest.mark.root
@pytest.mark.parametrize("uid,words", [
    (QMAILD, b"invoked from network"), (QMAILS, b"invoked for bounce"),
    (ALIAS, b"invoked by alias"), (NOBODY, b"invoked by uid 65534"),
    (0, b"invoked by uid 0")])
def test_everybody_may_and_is_named(real, uid, words):
    real.start()
    assert real.put(**as_user(uid)) == 0
    [m] = real.messages()
    assert words in m.received
    assert m.values(2) == [u64(uid)]


@pytest.mark.root
def test_a_stranger_cannot_take_all_slots(real):
    (real.home / "control/deliveryids").write_text("89 89\n/home\n")
    real.start("-s", 20)
    holders = []

    def hold(uid):
        """A client of this uid that keeps its slot; False if refused."""
        zero = os.pipe()
        before = len(real.files("pid"))
        client = real.popen(zero[0], subprocess.DEVNULL, **as_user(uid))
        os.close(zero[0])
        wait_for(lambda: client.poll() is not None or
                 len(real.files("pid")) > before, what="a slot or a refusal")
        if client.poll() is not None:
            assert client.returncode == 71
            os.close(zero[1])
            return False
        holders.append((client, zero[1]))
        return True

    def held(uid):
        count = 0
        while hold(uid):
            count += 1
        return count

    assert held(1000) == 2
    assert held(1001) == 2
    assert sum(held(uid) for uid in range(1002, 1010)) == 6
    assert held(QMAILD) == 4
    assert held(89) == 4
    assert held(QMAILS) == 2
    for client, fd in holders:
        client.kill()
        client.wait()
        os.close(fd)
    wait_for(lambda: real.files("pid") == [], what="an empty pid/")
    assert real.put(**as_user(1000)) == 0


@pytest.mark.root
def test_hup_reads_deliveryids_again(real):
    real.start("-s", 20)
    path = real.home / "control/deliveryids"
    socks = []

    def limit_of_root():
        count = 0
        while True:
            sock = real.connect()
            try:
                sock.sendall(HELLO)
            except BrokenPipeError:
                break  # refused before it could say anything
            if answer(sock) != GO:
                break
            socks.append(sock)
            count += 1
        for sock in socks:
            sock.close()
        socks.clear()
        wait_for(lambda: real.files("pid") == [], what="an empty pid/")
        return count

    assert limit_of_root() == 2
    path.write_text("0 0\n")
    os.kill(real.pid(), signal.SIGHUP)
    wait_for(lambda: limit_of_root() == 10, what="the new limit")


# ---- qmail-qstat, qmail-qread, qmail-qmake ----

def tool(house, name, *args):
    return subprocess.run([house.home / "bin" / name, *args],
                          capture_output=True, timeout=60)


def test_qstat_counts(up):
    assert tool(up, "qmail-qstat").stdout == (
        b"messages in queue: 0\n"
        b"messages in queue but not yet preprocessed: 0\n")
    for _ in range(3):
        assert up.put() == 0
    m = up.messages()[0]
    m.path.rename(up.queue / "mess" / m.path.parent.name / m.path.name)
    (up.queue / "mess/0/not-a-message").write_bytes(b"")
    result = tool(up, "qmail-qstat")
    assert result.returncode == 0
    assert result.stdout == (
        b"messages in queue: 3\n"
        b"messages in queue but not yet preprocessed: 2\n")


def test_qstat_says_what_is_wrong(q):
    shutil.rmtree(q.queue / "mess/1")
    result = tool(q, "qmail-qstat")
    assert result.returncode == 111 and b"queue/mess/1" in result.stderr
    (q.queue / "format").unlink()
    assert tool(q, "qmail-qstat").returncode == 111
    assert tool(q, "qmail-qstat", "x").returncode == 100


def place(house, ident, *args, **kw):
    path = house.queue / "mess" / str(ident % 3) / str(ident)
    path.write_bytes(content(*args, ident, **kw))
    return path


def test_qread_lists_as_qmail_does(q):
    (q.home / "control/me").write_text("me.test\n")
    (q.home / "control/locals").write_text("local.test\n")
    (q.home / "control/virtualdomains").write_text("virtual.test:alias\n")
    ident = 1795338523000001
    place(q, ident, b"x" * 258, b"ana smith@example.org",
          [b"joe@local.test", b"far@away.test", b"any@virtual.test",
           b"dead@away.test", b"evil\n\x1b@away.test", b"nohost"],
          states=[b"W", b"W", b"W", b"X", b"D", b"?"])
    (q.queue / "bounce" / str(ident % 3) / str(ident)).write_bytes(b"")
    result = tool(q, "qmail-qread")
    assert result.returncode == 0 and result.stderr == b""
    assert result.stdout == (
        b'22 Nov 2026 09:08:43 GMT  #1795338523000001  258  '
        b'<"ana smith"@example.org>  bouncing\n'
        b"\tlocal\tjoe@local.test\n"
        b"\tremote\tfar@away.test\n"
        b"\tlocal\talias-any@virtual.test\n"
        b"  done\tremote\tdead@away.test\n"
        b"  done\tremote\tevil??@away.test\n"
        b"\tremote\tnohost@me.test\n")


def test_qread_goes_on_after_damage(q):
    (q.home / "control/me").write_text("me.test\n")
    place(q, 1795338523000001, b"x", b"", [b"a@b"])
    damaged = place(q, 1795338523000002, b"x", b"", [b"c@d"])
    damaged.write_bytes(damaged.read_bytes()[:-1])
    place(q, 1795338523000003, b"x", b"", [b"e@f"], version=2)
    (q.queue / "mess/0/1795338523000004").write_bytes(b"")
    result = tool(q, "qmail-qread")
    assert result.returncode == 111
    assert result.stdout.count(b"\n") == 2 and b"<> \n" in result.stdout
    assert b"is damaged" in result.stderr
    assert b"is of a newer version" in result.stderr


def test_qmake_twice_changes_nothing(q):
    before = (q.queue / "format").read_bytes()
    assert re.fullmatch(rb"valija-queue 1\nsplit 3\nsync (posix|journal)\n"
                        rb"identity [0-9a-f]{32}\n", before)
    assert tool(q, "qmail-qmake", "7").returncode == 0
    assert (q.queue / "format").read_bytes() == before
    assert not (q.queue / "mess/3").exists()
    assert tool(q, "qmail-qmake", "0").returncode == 100
    assert tool(q, "qmail-qmake", "1", "2").returncode == 100


def test_qmake_repairs_a_missing_folder(q):
    shutil.rmtree(q.queue / "mess/1")
    assert tool(q, "qmail-qmake").returncode == 0
    assert (q.queue / "mess/1").is_dir()


def test_qmake_leaves_a_newer_queue_alone(q):
    (q.queue / "format").write_text("valija-queue 2\n")
    shutil.rmtree(q.queue / "mess")
    result = tool(q, "qmail-qmake")
    assert result.returncode == 111 and b"newer" in result.stderr
    assert not (q.queue / "mess").exists()
