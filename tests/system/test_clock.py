"""Clocks that are set: a day and a half either way, 2038, 2106 and beyond.

The test clock (VALIJA_TEST_CLOCK, test builds only) is added to the wall
clock of every program. Whatever it says, nothing that is being written is
reaped, nothing is given up before its time, nothing is delivered twice, and
names neither collide nor lose their order.
"""

import calendar
import contextlib
import os
import random
import re
import signal
import subprocess
import time

import pytest

from oracle import Judge
from queuefile import WAITING
from queuehouse import (END, GO, HELLO, QueueHouse, answer, chunk, done, envelope,
                        recipient, sender)
from spawners import Send
from test_ioerrors import clean_boxes, end_idle_workers
from test_kill import Wrapped, settle
from waiting import wait_for

HOUR = 3600
DAY = 24 * HOUR
MESSAGE = b"Received: (qmail 1 invoked by uid 2)\nSubject: x\n\nhello\n"
ERAS = {"2038": calendar.timegm((2038, 1, 19, 3, 14, 7)),
        "2106": calendar.timegm((2106, 2, 7, 6, 28, 15)),
        "2200": calendar.timegm((2200, 1, 1, 0, 0, 0))}


def until(era):
    """The offset with which the clock stands at that time."""
    return era - int(time.time())


@pytest.fixture
def send(tmp_path, bin):
    system = Send(tmp_path, bin)
    yield system
    if system.pid is not None:
        system.stop(signal.SIGKILL)


def step(send, offset_s):
    send.clock(offset_s)
    send.queue.trigger()


# ---- mail that waits ----

@pytest.mark.parametrize("hours", [36, -36])
def test_a_step_while_mail_waits_gives_nothing_up(send, hours):
    """Six and a half days old: a day and a half more would be too much."""
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.clock(0)
    old = send.queue.write(MESSAGE, b"s@far.example", [b"a@there.example"],
                           folder="mess", age_s=6 * DAY + 12 * HOUR)
    send.start()
    send.wait_log("deferral", 1)
    new = send.inject(MESSAGE, b"s@far.example", [b"b@there.example"])
    send.wait_log("deferral", 2)
    step(send, hours * HOUR)
    send.wait_log("the clock was set " + ("forward" if hours > 0 else "back"))
    for n in range(3, 9, 2):
        send.kill(signal.SIGALRM)
        send.wait_log("deferral", n + 1)
    step(send, 0)
    for n in range(9, 13, 2):
        send.kill(signal.SIGALRM)
        send.wait_log("deferral", n + 1)
    assert "failure" not in send.log() and send.bounces() == []
    assert send.queue.states(old) == send.queue.states(new) == WAITING
    assert len(send.log()) < 20000, "it spins"


def test_what_is_too_old_goes_all_the_same(send):
    """Born after the step, or seen by one that knows of no step."""
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.clock(0)
    old = send.queue.write(MESSAGE, b"s@far.example", [b"a@there.example"],
                           folder="mess", age_s=6 * DAY + 12 * HOUR)
    send.start()
    send.wait_log("deferral", 1)
    step(send, 36 * HOUR)
    send.wait_log("set forward")
    send.wait_log("deferral", 2)
    send.stop()
    send.start()
    send.wait_end(old)
    assert len(send.bounces()) == 1


def test_the_schedule_stays_sane_across_a_step(send):
    """Forward: due at once, once. Back: no later than it would have been."""
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.clock(0)
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example", [b"a@there.example"])
    send.wait_log("deferral", 1)
    tries = 1
    for offset in (36 * HOUR, 0, -36 * HOUR, 0, 36 * HOUR):
        forward = offset > getattr(send, "last_offset", 0)
        send.last_offset = offset
        step(send, offset)
        if forward:
            tries += 1
            send.wait_log("deferral", tries)
        else:
            send.wait_log("set back by")
        marker = send.inject(MESSAGE, b"", [b"ok@here.example"])
        send.wait_end(marker)
        assert send.log().count(f"msg {ident} to remote") == tries
    assert send.bounces() == []


def test_restless_clock(send):
    """Set every few milliseconds while mail flows."""
    chance = random.Random(int(os.environ.get("VALIJA_SEED", "5")))
    delivered = []

    def reply(job):
        if chance.random() < 0.3:
            return b"Z", b"later\n"
        delivered.append(job.address)
        return b"K", b"ok\n"
    send.answers = {"local": reply, "remote": reply}
    send.start()
    want = []
    for n in range(150):
        name = b"r%d" % n
        want += [name + b"@here.example", name + b"@there.example"]
        send.inject(MESSAGE, b"s@far.example", want[-2:])
        if n % 5 == 0:
            send.clock(chance.choice([36, -36, 12, -1, 0]) * HOUR)
            time.sleep(0.005)
    send.clock(0)
    chance.random = lambda: 1.0

    def drained():
        send.kill(signal.SIGALRM)
        time.sleep(0.05)
        return not send.queue.files("mess") and not send.queue.files("new")
    wait_for(drained, 30, lambda: f"an empty queue\n{send.log()[-2000:]}")
    assert sorted(delivered) == sorted(want)
    assert send.bounces() == []


@pytest.mark.parametrize("era", ERAS)
def test_mail_waits_across_the_end_of_an_era(send, era):
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.clock(until(ERAS[era]) - 60)
    birth = ERAS[era] - 60
    ident = send.queue.write(MESSAGE, b"s@far.example", [b"a@there.example"],
                             ident=birth * 1000000 + 17)
    send.start()
    send.wait_log("deferral", 1)
    assert f"new msg {ident}\n" in send.log()
    marker = send.inject(MESSAGE, b"", [b"ok@here.example"])
    send.wait_end(marker)
    assert send.log().count(f"msg {ident} to") == 1
    # Due after 400 s, or 600 where the first attempt came 20 s after birth.
    step(send, until(ERAS[era]) - 60 + 602)
    send.wait_log("deferral", 2)
    assert send.bounces() == []
    # A week later it comes back, with a date of that time.
    send.stop()
    send.clock(until(ERAS[era]) + 8 * DAY)
    send.start()
    send.wait_end(ident)
    ((message, _),) = send.bounces()
    year = time.gmtime(ERAS[era] + 8 * DAY).tm_year
    assert re.search(rb"^Date: .* %d \d\d:" % year, message, re.M), message[:200]


# ---- mail that is being accepted ----

@pytest.fixture
def q(bin):
    house = QueueHouse(bin)
    clock = house.home / "clock"

    def start():
        house.start(env={**os.environ, "VALIJA_TEST_CLOCK": str(clock)})

    def set_clock(offset_s):
        temp = house.home / "clock.new"
        temp.write_text(str(offset_s))
        temp.chmod(0o644)
        os.replace(temp, clock)
    house.begin, house.set_clock = start, set_clock
    yield house
    house.close()


STEPS = [0, 36 * HOUR, -36 * HOUR, 0, -1, until(ERAS["2038"]) - 1,
         until(ERAS["2038"]) + 1, 0, until(ERAS["2106"]), -36 * HOUR]


def test_ids_rise_whatever_the_clock_does(q):
    q.begin()
    order = []
    for offset in STEPS * 2:
        q.set_clock(offset)
        assert q.put() == 0
        known = {m.id for m in q.messages()}
        [new] = known - set(order)
        order.append(new)
    assert order == sorted(order)
    assert len(q.messages()) == len(STEPS) * 2  # each sound, in its shard


def test_ids_do_not_collide_after_a_restart_in_the_past(q):
    """The one thing a new process does not know is what the last one knew."""
    seen = 0
    for offset in (0, -36 * HOUR, until(ERAS["2038"]), -36 * HOUR, 36 * HOUR):
        q.set_clock(offset)
        q.begin()
        for _ in range(3):
            assert q.put() == 0
            seen += 1
        assert q.stop() == 0
        q.free()
    assert len({m.id for m in q.messages()}) == seen


@pytest.mark.parametrize("offset", [36 * HOUR, -36 * HOUR, 400 * DAY,
                                    until(ERAS["2038"]) + 5])
def test_a_message_that_is_being_written_is_not_reaped(q, offset):
    q.begin()
    sock = q.connect()
    sock.sendall(HELLO)
    assert answer(sock) == GO
    sock.sendall(chunk(b"Subject: x\n\n" + b"y" * 60000 + b"\n") * 2)
    wait_for(lambda: q.files("pid") and q.files("pid")[0].stat().st_size, 20,
             "half a message")
    [path] = q.files("pid")
    q.set_clock(offset)
    assert q.put() == 0  # another one, in the new time
    assert path.exists()
    sock.sendall(envelope(sender(), recipient()) + END)
    assert done(sock)
    sock.close()
    assert len(q.messages()) == 2
    assert q.files("pid") == []


# ---- a house ----

@pytest.fixture(scope="module")
def house(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    made.set_clock(0)
    made.start()
    yield made
    made.stop()
    made.remove()


def test_mail_flows_in_any_year(house):
    """There and back, mailbox names and dates included."""
    clean_boxes(house)
    oracle = Judge(house)
    for offset in STEPS:
        house.set_clock(offset)
        assert oracle.send()
        settle(house)
        oracle.judge()
        client = house.pop3()
        assert client.stat()[0] == len(oracle.accepted)
        client.quit()
    house.set_clock(0)
    names = [path.name for folder in ("new", "cur")
             for path in (house.maildir() / folder).iterdir()]
    assert len(names) == len(STEPS)
    assert all(re.match(r"\d{10,}\.", name) for name in names), names
    assert any(int(name.split(".")[0]) > 2**32 - 10 for name in names)


@pytest.mark.parametrize("program", ["qmail-local", "vdelivermail"])
def test_a_delivery_that_takes_its_time_is_not_cleaned_away(house, program):
    """POP3 sessions remove what has lain in tmp/ for 36 hours: not this."""
    clean_boxes(house)
    tmp = house.maildir() / "tmp"
    oracle = Judge(house)
    wrapped = Wrapped(house, program)
    leftover = tmp / "1.leftover"
    try:
        # Which of them writes the Maildir?
        wrapped.arm()
        end_idle_workers(house)
        assert oracle.send()
        settle(house)
        if not re.search(r"fsync\(", wrapped.text()):
            return
        wrapped.arm("-e", "inject=fsync:delay_enter=1500000:when=1")
        end_idle_workers(house)
        deferred = house.log().count("deferral:")
        assert oracle.send()
        [path] = wait_for(lambda: list(tmp.iterdir()), 20, "a file in tmp")
        st = house.maildir().stat()
        leftover.write_bytes(b"x")
        os.chown(leftover, st.st_uid, st.st_gid)
        house.set_clock(40 * HOUR)
        house.pop3().quit()
        wait_for(lambda: not leftover.exists(), 20, "tmp/ to be cleaned")
        assert path.exists(), "reaped while it was being written"
        wait_for(lambda: len(oracle.copies()) == 2, 20, house.story)
        settle(house)
        oracle.judge()
        assert house.log().count("deferral:") == deferred
    finally:
        house.set_clock(0)
        wrapped.disarm()
        wrapped.unwrap()


# ---- multilog ----

def content(main):
    """Of files that may be renamed or removed meanwhile."""
    text = b""
    for path in main.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            text += path.read_bytes()
    return text


@pytest.mark.parametrize("offsets", [
    (0, -36 * HOUR, -72 * HOUR), (0, 36 * HOUR, 0),
    (until(ERAS["2038"]) - 1, until(ERAS["2038"]) + 1, 0),
    (until(ERAS["2106"]) - 1, until(ERAS["2106"]) + 1, -36 * HOUR)])
def test_logs_keep_their_order_and_the_newest(bin, tmp_path, offsets):
    clock = tmp_path / "clock"
    clock.write_text("0")
    main = tmp_path / "main"
    process = subprocess.Popen(
        [bin / "multilog", "s4096", "n5", main], stdin=subprocess.PIPE,
        env={"VALIJA_TEST_CLOCK": str(clock), "PATH": os.environ["PATH"]})
    count = 0
    try:
        for offset in offsets:
            clock.write_text(str(offset))
            until_files = count + 200
            while count < until_files:
                process.stdin.write(b"line %06d " % count + b"x" * 50 + b"\n")
                count += 1
            process.stdin.flush()
            last = b"line %06d" % (count - 1)
            wait_for(lambda: last in content(main), 20, "the last line")
    finally:
        process.stdin.close()
        assert process.wait(20) == 0
    files = sorted(main.glob("@*")) + [main / "current"]
    assert all(re.fullmatch(r"@4[0-9a-f]{23}\.[su]", p.name) for p in files[:-1])
    lines = b"".join(p.read_bytes() for p in files).splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    # The oldest have been removed, in order; what is left has no gap.
    assert numbers == list(range(numbers[0], count))
    assert len(files) == 5
