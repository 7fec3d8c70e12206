"""Remote hosts that fail or are silent, between spawners made of Python."""

import os
import re
import signal
import time

import pytest

from queuefile import DELIVERED, WAITING
from spawners import Send
from waiting import wait_for

MESSAGE = b"Received: (qmail 1 invoked by uid 2)\nSubject: x\n\nhello\n"
WINDOW = 5


@pytest.fixture
def send(tmp_path, bin):
    system = Send(tmp_path, bin)
    system.env["VALIJA_TEST_DEAD_MS"] = "60000"
    yield system
    if system.pid is not None:
        system.stop(signal.SIGKILL)


def host_of(job):
    return job.host.decode()


def answer_by_host(answers):
    """The longest suffix of the host's name decides; else it works."""
    def answer(job):
        for suffix, said in answers.items():
            if host_of(job).endswith(suffix):
                return said() if callable(said) else said
        return b"K", b"ok\n"
    return answer


FAILS = b"H", b"no connection\n"


def to(host, count=1, who="a"):
    return [f"{who}{n}@{host}".encode() for n in range(count)]


def asked(send, host):
    """Jobs for this host, in order."""
    return [job for job in list(send.remote.jobs) if host_of(job) == host]


def inject_many(send, count, *hosts):
    send.wait_log("running")
    for n in range(count):
        send.queue.write(MESSAGE, b"s@far.example", to(hosts[n % len(hosts)]))
    send.queue.trigger()


def kill_host(send, host):
    """As many messages as make it dead; those after them wait."""
    send.wait_log("running")
    idents = [send.queue.write(MESSAGE, b"s@far.example", to(host))
              for _ in range(WINDOW)]
    send.queue.trigger()
    send.wait_log(f"mail for {host} waits")
    return idents


def test_silent_hosts_do_not_take_every_slot(send):
    """The goal: a live host's mail passes by what waits for silent ones."""
    send.answers["remote"] = answer_by_host({"silent.example": None})
    send.start()
    inject_many(send, 300, *[f"{n}.silent.example" for n in range(10)])
    wait_for(lambda: len(send.remote.held) == 15)
    start = time.monotonic()
    for _ in range(5):
        send.wait_end(send.inject(MESSAGE, b"", to("live.example")), timeout=3)
    assert time.monotonic() - start < 3
    # Each of them has got a job: no host has taken those of the others.
    assert len({host_of(job) for job in send.remote.held}) == 10
    assert len(send.remote.held) == 15


def test_mail_queued_at_once_passes_by_silent_hosts(send):
    """All of it is there at the start, and the silent ones' is younger."""
    live = [send.queue.write(MESSAGE, b"", to("live.example"), folder="mess")
            for _ in range(5)]
    for n in range(300):
        send.queue.write(MESSAGE, b"", to(f"{n % 10}.silent.example"),
                         folder="mess")
    send.answers["remote"] = answer_by_host({"silent.example": None})
    send.start()
    for ident in live:
        send.wait_end(ident)
    assert len(send.remote.held) <= 15


def test_slots_that_hosts_lose_when_they_fall_silent(send):
    """Those that worked may have nearly all slots, but not for long jobs."""
    silent = set()
    send.answers["remote"] = lambda job: (
        None if host_of(job) in silent else (b"K", b"ok\n"))
    send.start()
    first = [f"{n}.example" for n in range(3)]
    for host in first + ["live.example"]:
        send.wait_end(send.inject(MESSAGE, b"", to(host)))
    silent.update(first)
    inject_many(send, 60, *first)
    wait_for(lambda: len(send.remote.held) == 15)
    send.wait_end(send.inject(MESSAGE, b"", to("live.example")), timeout=3)


def test_a_failing_host_is_left_alone_for_a_minute(send):
    send.answers["remote"] = answer_by_host({"dead.example": FAILS})
    send.start()
    kill_host(send, "dead.example")
    ident = send.inject(MESSAGE, b"", to("dead.example"))
    send.wait_end(send.inject(MESSAGE, b"", to("live.example")))
    assert len(asked(send, "dead.example")) == WINDOW
    # Nothing was tried, so the log tells of nothing.
    assert f"msg {ident} to remote" not in send.log()
    assert send.log().count("warning: mail for dead.example waits") == 1
    assert send.queue.states(ident) == WAITING


def test_a_host_that_revives_gets_its_mail(send):
    send.env["VALIJA_TEST_DEAD_MS"] = "300"
    dead = {"dead.example": FAILS}
    send.answers["remote"] = answer_by_host(dead)
    send.start()
    tried = kill_host(send, "dead.example")
    left = [send.inject(MESSAGE, b"", to("dead.example")) for _ in range(20)]
    # One probe a while, and only one.
    wait_for(lambda: len(asked(send, "dead.example")) >= WINDOW + 2)
    assert send.log().count("warning: mail for dead.example waits") == 1
    dead.clear()
    for ident in left[2:]:
        send.wait_end(ident)
    send.wait_log("warning: mail for dead.example goes on")
    # Those that were tried have their time; none of them came early.
    attempts = [send.log().count(f"msg {ident} to remote")
                for ident in tried + left]
    assert attempts == [1] * len(attempts)


def test_alrm_tries_dead_hosts_at_once(send):
    dead = {"dead.example": FAILS}
    send.answers["remote"] = answer_by_host(dead)
    send.start()
    idents = kill_host(send, "dead.example")
    idents += [send.inject(MESSAGE, b"", to("dead.example"))
               for _ in range(20)]
    send.wait_log("new msg", len(idents))
    dead.clear()
    send.kill(signal.SIGALRM)
    for ident in idents:
        send.wait_end(ident)


def test_a_message_for_a_dead_and_a_live_host(send):
    send.answers["remote"] = answer_by_host({"dead.example": FAILS})
    send.start()
    kill_host(send, "dead.example")
    ident = send.inject(MESSAGE, b"", to("dead.example", 2) +
                        to("live.example", 2) + to("dead.example", 1, "b"))
    send.wait_log("success", 2)
    wait_for(lambda: send.queue.states(ident) ==
             2 * WAITING + 2 * DELIVERED + WAITING)
    assert len(asked(send, "dead.example")) == WINDOW


def test_a_message_for_a_silent_and_a_live_host(send):
    send.answers["remote"] = answer_by_host({"silent.example": None})
    send.start()
    inject_many(send, 100, "silent.example")
    wait_for(lambda: len(send.remote.held) == WINDOW)
    ident = send.inject(MESSAGE, b"", to("silent.example", 2) +
                        to("live.example", 2))
    send.wait_log("success", 2)
    wait_for(lambda: send.queue.states(ident) == 2 * WAITING + 2 * DELIVERED)


def test_who_is_left_is_tried_once_a_round(send):
    """Others of the message were deferred: they keep their time."""
    held = {"busy.example": None, "grey.example": (b"Z", b"later\n")}
    send.answers["remote"] = answer_by_host(held)
    send.start()
    inject_many(send, WINDOW, "busy.example")
    wait_for(lambda: len(send.remote.held) == WINDOW)
    ident = send.inject(MESSAGE, b"", to("busy.example", 250) +
                        to("grey.example", 3) + to("other.example", 1))
    send.wait_log("deferral", 3)
    send.wait_log("success", 1)
    del held["busy.example"]
    send.remote.release(b"K", b"ok\n")
    send.wait_log("success", 1 + WINDOW + 250)
    wait_for(lambda: send.queue.states(ident) ==
             250 * DELIVERED + 3 * WAITING + DELIVERED)
    of_message = [job for job in send.remote.jobs if job.id == ident]
    assert [(host_of(job), len(job.recipients)) for job in of_message] == [
        ("grey.example", 3), ("other.example", 1)] + [
        ("busy.example", n) for n in (100, 100, 50)]
    assert len({n for job in of_message for n, _ in job.recipients}) == 254


def test_verp_recipients_are_left_and_called_one_by_one(send):
    held = {"busy.example": None}
    send.answers["remote"] = answer_by_host(held)
    send.start()
    inject_many(send, WINDOW, "busy.example")
    wait_for(lambda: len(send.remote.held) == WINDOW)
    ident = send.inject(MESSAGE, b"list-@here.example-@[]",
                        to("busy.example", 30))
    send.wait_log("new msg", WINDOW + 1)
    del held["busy.example"]
    send.remote.release(b"K", b"ok\n")
    send.wait_end(ident)
    jobs = [job for job in send.remote.jobs if job.id == ident]
    assert sorted(job.recipients[0][0] for job in jobs) == list(range(30))


def test_hosts_take_turns(send):
    """Two with much mail, and one with little: that does not come last."""
    hold = {"a.example": None, "b.example": None}
    send.control("concurrencyremote", "4\n")
    send.answers["remote"] = answer_by_host(hold)
    send.start()
    inject_many(send, 400, "a.example", "b.example")
    wait_for(lambda: len(send.remote.held) == 3)
    few = [send.inject(MESSAGE, b"", to("b.example", 1, "few"))
           for _ in range(3)]
    inject_many(send, 1, "a.example")
    send.wait_log("new msg", 404)
    hold.clear()
    send.remote.release(b"K", b"ok\n")
    send.wait_log("end msg", 404, timeout=60)
    order = [host_of(job) for job in send.remote.jobs]
    middle = order[40:300]
    assert 100 < middle.count("a.example") < 160
    for ident in few:
        assert f"end msg {ident}\n" in send.log()


def test_the_window_grows_with_success(send):
    send.start()
    idents = []
    for _ in range(120):
        idents.append(send.inject(MESSAGE, b"", to("live.example")))
    for ident in idents:
        send.wait_end(ident)
    send.remote.answer = lambda job: None
    inject_many(send, 60, "live.example")
    wait_for(lambda: len(send.remote.held) > 2 * WINDOW)
    # Never all of them: another one finds a slot.
    time.sleep(0.1)  # would more come?
    assert len(send.remote.held) <= 18


def test_a_recipients_4xx_does_not_hurt_the_host(send):
    send.answers["remote"] = lambda job: (b"Z", b"450 later\n")
    send.start()
    inject_many(send, 30, "live.example")
    send.wait_log("deferral", 30)
    assert "warning: mail for" not in send.log()


def test_after_queuelifetime_mail_for_a_dead_host_bounces(send):
    send.control("queuelifetime", "3600\n")
    send.answers["remote"] = answer_by_host({"dead.example": FAILS})
    send.start()
    kill_host(send, "dead.example")
    old = send.queue.write(MESSAGE, b"s@far.example", to("dead.example"),
                           age_s=4000)
    new = send.inject(MESSAGE, b"s@far.example", to("dead.example"))
    send.wait_end(old)
    send.wait_log("new msg", WINDOW + 2)
    assert len(asked(send, "dead.example")) == WINDOW
    ((message, _),) = send.bounces()
    assert b"<a0@dead.example>:\nno connection\nI'm not going" in message
    assert send.queue.states(new) == WAITING


def test_when_many_bounce_not_all_are_tried(send):
    send.control("queuelifetime", "3600\n")
    send.answers["remote"] = answer_by_host({"dead.example": FAILS})
    idents = [send.queue.write(MESSAGE, b"s@far.example", to("dead.example"),
                               folder="mess", age_s=4000) for _ in range(60)]
    send.clock(0)
    send.start()
    # Some were waiting for the host before it was known to be dead.
    send.wait_log("mail for dead.example waits")
    send.clock(301)
    send.queue.trigger()
    for ident in idents:
        send.wait_end(ident)
    assert len(send.bounces()) == 60
    assert len(send.remote.jobs) < 10
    # What qmail's analysers count is complete.
    log = send.log()
    started = re.findall(r"starting delivery (\d+):", log)
    assert started == re.findall(r"^delivery (\d+): failure: no_connection"
                                 r"/I'm_not_going", log, re.M)
    assert len(started) == 60


def test_a_killed_qmail_send_recovers(send):
    send.answers["remote"] = answer_by_host({"silent.example": None})
    send.start()
    inject_many(send, 100, *[f"{n}.silent.example" for n in range(10)])
    wait_for(lambda: len(send.remote.held) == 15)
    live = send.inject(MESSAGE, b"", to("7.silent.example") + to("live.example"))
    send.wait_log("success")
    send.stop(signal.SIGKILL)
    send.answers["remote"] = None
    send.start()
    send.wait_end(live)
    wait_for(lambda: not send.queue.files("mess"))
    assert [job.address for job in asked(send, "live.example")] == []


def test_hup_while_recipients_wait(send):
    """A host that becomes local is asked no more, and loses nobody."""
    hold = {"there.example": None}
    send.answers["remote"] = answer_by_host(hold)
    send.start()
    inject_many(send, 50, "there.example")
    wait_for(lambda: len(send.remote.held) == WINDOW)
    send.wait_log("new msg", 50)
    send.control("locals", "here.example\nthere.example\n")
    send.kill(signal.SIGHUP)
    hold.clear()
    send.remote.release(b"K", b"ok\n")
    send.wait_log("end msg", 50)
    remote = [job.id for job in send.remote.jobs]
    local = [job.id for job in send.local.jobs]
    assert len(remote) == WINDOW
    assert sorted(remote + local) == sorted(set(remote + local))


def test_waiting_mail_is_closed(send):
    """Neither descriptors nor memory grow with what waits."""
    send.answers["remote"] = answer_by_host({"silent.example": None})
    send.start()
    inject_many(send, 50, "silent.example")
    send.wait_log("new msg", 50)
    fds = lambda: len(os.listdir(f"/proc/{send.pid}/fd"))
    wait_for(lambda: len(send.remote.held) == WINDOW)
    before = fds()
    inject_many(send, 500, "silent.example")
    send.wait_log("new msg", 550)
    send.wait_end(send.inject(MESSAGE, b"", to("live.example")))
    assert fds() <= before + 2
