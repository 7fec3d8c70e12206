"""qmail-send between a queue written by Python and spawners made of it."""

import os
import re
import signal
import socket
import time

import pytest

from queuefile import DELIVERED, FAILED, WAITING, record, u64
from spawners import PROTOCOL, Send
from waiting import wait_for

MESSAGE = b"Received: (qmail 1 invoked by uid 2)\nSubject: x\n\nhello\n"


@pytest.fixture
def send(tmp_path, bin):
    system = Send(tmp_path, bin)
    yield system
    if system.pid is not None:
        system.stop(signal.SIGKILL)


def test_success_is_logged_as_qmail_does(send):
    send.start()
    ident = send.inject(MESSAGE, b"a b@far.example", [b"joe@here.example"])
    send.wait_end(ident)
    assert send.stop() == 0
    assert send.log() == f"""running
status: local 0/10 remote 0/20
new msg {ident}
info msg {ident}: bytes {len(MESSAGE)} from <a_b@far.example> qp 4711 uid 1000
starting delivery 1: msg {ident} to local joe@here.example
status: local 1/10 remote 0/20
delivery 1: success: ok/
status: local 0/10 remote 0/20
end msg {ident}
number of deliveries left before exit: 0
status: local 0/10 remote 0/20 exitasap
status: exiting
"""
    assert send.queue.files("mess") == send.queue.files("new") == []


def test_jobs_carry_what_the_workers_need(send):
    send.start()
    big = MESSAGE + b"x" * 70000 + b"\n"
    one = send.inject(MESSAGE, b"s@far.example",
                      [b"a@virt.example", b"b@there.example"],
                      extra=record(4, b"8BITMIME") + record(7, b""))
    two = send.inject(big, b"", [b"c@there.example"])
    send.wait_end(one)
    send.wait_end(two)
    (local,) = send.local.jobs
    assert local.address == b"owner-a@virt.example"
    assert local.recipients[0][0] == 0
    assert local.host is None
    assert local.message == MESSAGE
    assert local.fields[4] == b"0123456789abcdef" * 2
    assert local.fields[10] == b"8BITMIME" and local.fields[11] == b""
    first, second = sorted(send.remote.jobs, key=lambda job: job.id)
    assert (first.id, second.id) == (one, two)
    assert first.recipients == [(1, b"b@there.example")]
    assert first.host == b"there.example"
    assert first.sender == b"s@far.example"
    assert second.message == big and second.sender == b""
    assert second.seals & 14 == 14  # SHRINK, GROW, WRITE


def test_verp_senders_are_expanded(send):
    send.start()
    ident = send.inject(MESSAGE, b"list-@here.example-@[]",
                        [b"a@virt.example", b"b@there.example"])
    send.wait_end(ident)
    assert send.local.jobs[0].sender == b"list-a=virt.example@here.example"
    assert send.remote.jobs[0].sender == b"list-b=there.example@here.example"


def test_deferral_waits_and_keeps_the_mark_of_others(send):
    send.answers["remote"] = lambda job: (
        (b"Z", b"later\n") if job.address.startswith(b"b") else
        (b"K", b"ok\n"))
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example",
                        [b"a@there.example", b"b@there.example"])
    send.wait_log("deferral: later/\n")
    send.wait_log("success")
    wait_for(lambda: send.queue.states(ident) == DELIVERED + WAITING)
    send.remote.answer = lambda job: (b"K", b"ok\n")
    send.kill(signal.SIGALRM)
    send.wait_end(ident)
    assert send.remote.addresses().count(b"a@there.example") == 1


def test_alarm_takes_what_nobody_told_of(send):
    """Else it would be found within a minute."""
    send.start()
    send.wait_log("running\n")
    time.sleep(0.5)  # its first look is over
    ident = send.queue.write(MESSAGE, b"", [b"a@here.example"])
    send.kill(signal.SIGALRM)
    send.wait_end(ident)


BOUNCE = """Date: DATE
From: MAILER-DAEMON@here.example
To: s@far.example
Subject: failure notice

Hi. This is the qmail-send program at here.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<a@virt.example>:
Sorry, no mailbox here by that name. (#5.1.1)

<c@there.example>:
192.0.2.1 does not like recipient.
Remote host said: 550 no
/Giving up on 192.0.2.1.

--- Below this line is a copy of the message.

Return-Path: <s@far.example>
"""


def fail(job):
    if job.channel == "local":
        return b"D", b"Sorry, no mailbox here by that name. (#5.1.1)\n"
    if job.address.startswith(b"b"):
        return b"K", b"ok\n"
    return b"D", (b"192.0.2.1 does not like recipient.\n"
                  b"Remote host said: 550 no\n\nGiving up on 192.0.2.1.\n")


def test_failures_bounce_in_qmails_words(send):
    send.answers = {"local": fail, "remote": fail}
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example",
                        [b"a@virt.example", b"b@there.example",
                         b"c@there.example"])
    send.wait_end(ident)
    ((message, envelope),) = send.bounces()
    assert envelope == b"F\0Ts@far.example\0\0"
    text = re.sub(r"\ADate: \d+ \w{3} \d{4} \d\d:\d\d:\d\d -0000\n",
                  "Date: DATE\n", message.decode())
    assert text == BOUNCE + MESSAGE.decode()
    assert re.search(rf"^bounce msg {ident} qp \d+\nend msg {ident}$",
                     send.log(), re.M)
    assert ("failure: Sorry,_no_mailbox_here_by_that_name._(#5.1.1)/\n"
            in send.log())
    assert send.queue.files("bounce") == send.queue.files("mess") == []


def test_a_bounce_that_fails_goes_to_the_postmaster(send):
    send.answers["local"] = fail
    send.control("doublebounceto", "hostmaster\n")
    send.control("doublebouncehost", "ops.example\n")
    send.start()
    ident = send.inject(MESSAGE, b"", [b"a@here.example"])
    send.wait_end(ident)
    ((message, envelope),) = send.bounces()
    assert envelope == b"F#@[]\0Thostmaster@ops.example\0\0"
    assert b"To: hostmaster@ops.example\n" in message
    assert (b"program at here.example.\nI tried to deliver a bounce message "
            b"to this address, but the bounce bounced!\n\n<a@here.example>:"
            in message)
    assert (b"\n--- Below this line is the original bounce.\n\n"
            b"Return-Path: <>\n" + MESSAGE in message)


def test_a_triple_bounce_is_dropped(send):
    send.answers["local"] = fail
    send.start()
    ident = send.inject(MESSAGE, b"#@[]", [b"a@here.example"])
    send.wait_end(ident)
    assert f"triple bounce: discarding bounce/{ident}\n" in send.log()
    assert send.bounces() == []


def test_verp_bounces_go_to_the_owner(send):
    send.answers["local"] = fail
    send.start()
    ident = send.inject(MESSAGE, b"list-@far.example-@[]",
                        [b"a@here.example"])
    send.wait_end(ident)
    ((_, envelope),) = send.bounces()
    assert envelope == b"F\0Tlist-@far.example\0\0"


def test_hostile_texts_stay_in_their_place(send):
    """IN5: no header or paragraph of a bounce, and no line of the log."""
    send.answers["local"] = lambda job: (
        b"D", b"\nstarting delivery 9: %s\n\x1b[0m\xff\n\n--- Below")
    send.start()
    ident = send.inject(MESSAGE, b'x\nTo: y"@far.example',
                        [b"a\nb@here.example"])
    send.wait_end(ident)
    ((message, _),) = send.bounces()
    head, body = message.split(b"\n\n", 1)
    assert len(head.split(b"\n")) == 4
    assert b'To: "x_To: y\\""@far.example' in head
    assert b"<a_b@here.example>:\n/starting" in body
    assert b"?[0m" in body and b"\n/--- Below\n\n" in body
    assert "failure: /starting_delivery_9:__s/_[0m_//---_Below\n" in send.log()
    assert f"from <x/To:_y\"@far.example> qp" in send.log()


def test_a_refused_bounce_is_tried_again(send):
    program = send.home / "refuse"
    program.write_text("#!/bin/sh\nexit 53\n")
    program.chmod(0o755)
    good = send.env["QMAILQUEUE"]
    send.env["QMAILQUEUE"] = str(program)
    send.answers["local"] = fail
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example", [b"a@here.example"])
    send.wait_log("warning: trouble injecting bounce message, "
                  f"will try later: msg {ident}: ")
    assert send.queue.states(ident) == FAILED
    program.write_text(f"#!/bin/sh\nexec {good}\n")
    send.kill(signal.SIGALRM)
    send.wait_end(ident)
    assert len(send.bounces()) == 1
    assert len(send.local.jobs) == 1


def test_a_failed_mark_without_report_bounces(send):
    ident = send.queue.write(MESSAGE, b"s@far.example", [b"a@here.example"],
                             folder="mess", states=[FAILED])
    torn = send.queue.file("bounce", ident)
    torn.write_bytes(record(1, u64(0) + b"torn away")[:-3])
    send.start()
    send.wait_end(ident)
    ((message, _),) = send.bounces()
    assert b"<a@here.example>:\nSorry, I could not deliver" in message
    assert send.jobs() == []


def attempts(send, ident):
    return send.log().count(f"msg {ident} to ")


@pytest.mark.parametrize("channel,address,skip", [
    ("local", b"a@here.example", 10), ("remote", b"a@there.example", 20)])
def test_retries_follow_qmails_schedule(send, channel, address, skip):
    send.answers[channel] = lambda job: (b"Z", b"later\n")
    send.clock(0)
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example", [address])
    send.wait_log("deferral", 1)
    birth = ident // 1000000
    due = skip * skip
    for n in range(2, 5):
        # Ten seconds early nothing happens. The trigger wakes it up.
        send.clock(birth + due - int(time.time()) - 10)
        marker = send.inject(MESSAGE, b"", [b"ok@virt.example"]
                             if channel == "remote" else [b"ok@there.example"])
        send.wait_end(marker)
        assert attempts(send, ident) == n - 1
        now = birth + due + 1
        send.clock(now - int(time.time()))
        send.queue.trigger()
        send.wait_log("deferral", n)
        due = (int((now - birth) ** 0.5) + skip) ** 2


def test_after_queuelifetime_comes_one_last_attempt(send):
    send.control("queuelifetime", "3600\n")
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    ident = send.queue.write(MESSAGE, b"s@far.example", [b"a@there.example"],
                             folder="mess", age_s=3700)
    send.start()
    send.wait_end(ident)
    assert ("failure: later/I'm_not_going_to_try_again;_this_message_has_been"
            "_in_the_queue_too_long./\n" in send.log())
    ((message, _),) = send.bounces()
    assert (b"<a@there.example>:\nlater\nI'm not going to try again; this "
            b"message has been in the queue too long.\n\n" in message)


def test_a_clock_set_back_does_not_stall_retries(send):
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.clock(0)
    send.start()
    send.inject(MESSAGE, b"s@far.example", [b"a@there.example"])
    send.wait_log("deferral")
    send.clock(-36 * 3600)
    send.queue.trigger()
    send.wait_log("set back by")
    send.clock(-36 * 3600 + 402)
    send.queue.trigger()
    send.wait_log("deferral", 2)
    # The next one is computed from a birth in the future.
    send.clock(-36 * 3600 + 402 + 402)
    send.queue.trigger()
    send.wait_log("deferral", 3)


def find_working(send, hosts):
    """Only hosts that have been found working get the last slots."""
    send.wait_end(send.inject(MESSAGE, b"", [b"x@there%d.example" % n for n in range(hosts)]))


def test_concurrency_is_the_smaller_of_both(send):
    send.control("concurrencyremote", "7\n")
    send.start(capacity=8)
    find_working(send, 7)
    before = len(send.remote.jobs)
    send.local.answer = send.remote.answer = lambda job: None
    for n in range(20):
        send.inject(MESSAGE, b"", [b"a@here.example", b"b@there%d.example" % (n % 7)])
    send.wait_log("status: local 8/8 remote 7/7")
    time.sleep(0.1)  # would more come?
    assert len(send.local.jobs) == 8 and len(send.remote.jobs) == before + 7
    # From here on they answer at once, and the held ones too.
    send.local.answer = send.remote.answer = lambda job: (b"K", b"ok\n")
    send.local.release(b"K", b"ok\n")
    send.remote.release(b"K", b"ok\n")
    send.wait_log("end msg", 21)


def test_new_mail_does_not_wait_behind_a_long_queue(send):
    for n in range(500):
        send.queue.write(MESSAGE, b"", [b"slow@there.example"],
                         folder="mess", ident=1000000000000000 + n)
    send.control("queuelifetime", "1000000000\n")
    order = []

    def answer(job):
        order.append(job.address)
        time.sleep(0.002)
        return b"Z", b"later\n"

    send.answers["remote"] = answer
    send.start()
    send.wait_log("deferral", 5)
    ident = send.inject(MESSAGE, b"", [b"fast@there.example"])
    send.wait_log(f"msg {ident} to remote")
    wait_for(lambda: b"fast@there.example" in order)
    wait_for(lambda: order.count(b"slow@there.example") == 500)
    assert order.index(b"fast@there.example") < 200


def test_a_big_list_shares_the_slots(send):
    send.control("concurrencylocal", "1\n")
    order = []
    send.answers["local"] = lambda job: (order.append(job.id),
                                         (b"K", b"ok\n"))[1]
    many = [b"r%d@here.example" % n for n in range(300)]
    one = send.queue.write(MESSAGE, b"", many, folder="mess", age_s=9)
    two = send.queue.write(MESSAGE, b"", [b"x@here.example"] * 3,
                           folder="mess", age_s=10)
    send.start()
    send.wait_end(one)
    send.wait_end(two)
    assert sorted(order) == sorted([one] * 300 + [two] * 3)
    # With one slot there is one pass at a time; the youngest comes first.
    assert order[0] == one


def test_lost_spawner_ends_it_after_the_others_are_in(send):
    send.answers["remote"] = lambda job: None
    send.answers["local"] = lambda job: None
    send.start()
    ident = send.inject(MESSAGE, b"",
                        [b"a@here.example", b"b@there.example"])
    send.wait_log("status: local 1/10 remote 1/20")
    wait_for(lambda: send.remote.held)
    send.local.close()
    send.wait_log("alert: oh no! lost spawn connection! dying...\n")
    send.remote.release(b"K", b"ok\n")
    assert send.wait_exit() == 111
    assert send.queue.states(ident) == WAITING + DELIVERED
    send.answers = {"local": None, "remote": None}
    send.start()
    send.wait_end(ident)
    assert [job.address for job in send.jobs()] == [b"a@here.example"]


def test_nonsense_from_a_spawner_is_a_lost_one(send):
    send.start()
    send.local.ours.send(b"what?")
    assert send.wait_exit() == 111
    assert "lost spawn connection" in send.log()


def test_results_for_nobody_are_harmless(send):
    send.answers["local"] = lambda job: None
    send.start()
    ident = send.inject(MESSAGE, b"", [b"a@here.example"])
    wait_for(lambda: send.local.held)
    send.local.ours.send(PROTOCOL + record(3, u64(999)) +
                         record(32, u64(0) + b"K"))
    send.wait_log("warning: internal error: delivery report out of range")
    # For the job, but not for its recipient.
    job = send.local.held.pop()
    send.local.ours.send(PROTOCOL + record(3, u64(job.number)) +
                         record(32, u64(77) + b"Kok\n"))
    send.wait_log("delivery 1: report mangled, will defer\n")
    assert send.queue.states(ident) == WAITING


def test_no_hello_no_start(send):
    send.start(hello=False)
    send.local.close()
    assert send.wait_exit() == 111
    assert ("alert: cannot start: hath the daemon spawn no fire?\n" ==
            send.log())


def test_only_one_runs(send):
    send.start()
    send.wait_log("running")
    pid, local, remote = send.pid, send.local, send.remote
    send.start()
    assert send.wait_exit() == 111
    assert "alert: cannot start: qmail-send is already running\n" in send.log()
    send.pid, send.local, send.remote = pid, local, remote


@pytest.mark.parametrize("damage", ["control", "number", "format", "later"])
def test_it_does_not_start_on_what_it_cannot_read(send, damage):
    if damage == "control":
        (send.home / "control/locals").mkdir()
        text = "alert: cannot start: unable to read controls: control/locals"
    elif damage == "number":
        send.control("concurrencylocal", "ten\n")
        text = ("alert: cannot start: unable to read controls: "
                "control/concurrencylocal")
    elif damage == "format":
        (send.home / "queue/format").write_text("nonsense\n")
        text = "alert: cannot start: unable to read queue/format"
    else:
        (send.home / "queue/format").write_text("valija-queue 2\n")
        text = "alert: cannot start: queue/format is of a later version"
    send.start()
    assert send.wait_exit() == 111
    assert send.log().startswith(text)
    assert send.log().count("\n") == 1


def test_damaged_files_are_set_aside_and_others_delivered(send):
    import queuefile
    queue = send.queue
    flips = {}
    whole = queuefile.content(MESSAGE, b"s@x", [b"a@here.example"], 1)
    size = len(whole)
    for n, at in enumerate([0, len(MESSAGE) - 1, len(MESSAGE) + 20,
                            size - 64, size - 20, size - 1]):
        ident = queue.new_id()
        data = bytearray(queuefile.content(MESSAGE, b"s@x",
                                           [b"a@here.example"], ident))
        data[at] ^= 4
        queue.file("new" if n % 2 else "mess", ident).write_bytes(data)
        flips[ident] = bytes(data)
    short = queue.new_id()
    queue.file("new", short).write_bytes(whole[:-1])
    empty = queue.new_id()
    queue.file("new", empty).write_bytes(b"")
    renamed = queue.write(MESSAGE, b"", [b"a@here.example"], folder="mess")
    other = queue.new_id()
    queue.file("mess", renamed).rename(queue.file("mess", other))
    good = queue.write(MESSAGE, b"", [b"good@here.example"])
    send.start()
    send.wait_end(good)
    expected = sorted(map(str, list(flips) + [short, other]))
    wait_for(lambda: queue.files("bad") == expected,
             what=f"{expected} in bad, there are {queue.files('bad')}")
    for ident, data in flips.items():
        assert (queue.path / "bad" / str(ident)).read_bytes() == data
        assert f"/{ident} is damaged; moved to queue/bad/{ident}" in send.log()
    assert f"/{empty} is empty; removed\n" in send.log()
    assert [job.address for job in send.jobs()] == [b"good@here.example"]
    assert queue.files("new") == []
    wait_for(lambda: queue.files("mess") == [])


def test_a_later_format_is_left_alone(send):
    queue = send.queue
    one = queue.write(MESSAGE, b"", [b"a@here.example"], version=2)
    two = queue.write(MESSAGE, b"", [b"a@here.example"], version=2,
                      folder="mess")
    before = (queue.file("new", one).read_bytes(),
              queue.file("mess", two).read_bytes())
    send.start()
    send.wait_log("has a later format; left alone", 2)
    send.wait_end(send.inject(MESSAGE, b"", [b"b@here.example"]))
    assert send.log().count("later format") == 2
    assert before == (queue.file("new", one).read_bytes(),
                      queue.file("mess", two).read_bytes())


def test_locked_files_are_being_committed(send):
    import fcntl
    ident = send.queue.write(MESSAGE, b"", [b"a@here.example"])
    gone = send.queue.write(MESSAGE, b"", [b"b@here.example"])
    held = open(send.queue.file("new", ident), "rb")
    dying = open(send.queue.file("new", gone), "rb")
    fcntl.flock(held, fcntl.LOCK_EX)
    fcntl.flock(dying, fcntl.LOCK_EX)
    send.start()
    send.wait_end(send.inject(MESSAGE, b"", [b"c@here.example"]))
    assert send.queue.files("new") == sorted([str(ident), str(gone)])
    send.queue.file("new", gone).unlink()
    dying.close()
    held.close()
    send.queue.trigger()
    send.wait_end(ident)
    assert [j.address[:1] for j in send.jobs()] == [b"c", b"a"]


def test_wrong_shards_are_mended(send):
    queue = send.queue
    one = queue.new_id()
    two = queue.new_id()
    (queue.path / "mess/17").mkdir()
    queue.write(MESSAGE, b"", [b"a@here.example"], ident=one,
                shard=(one + 1) % 3)
    queue.write(MESSAGE, b"", [b"b@here.example"], ident=two, shard=17,
                folder="mess")
    send.start()
    send.wait_end(one)
    send.wait_end(two)


def test_an_id_that_is_in_work_is_not_taken_over(send):
    send.answers["local"] = lambda job: None
    ident = send.queue.write(MESSAGE, b"", [b"a@here.example"], folder="mess")
    send.queue.write(MESSAGE, b"", [b"b@here.example"], ident=ident)
    send.start()
    send.wait_log("alert: unable to move")
    wait_for(lambda: send.local.held)
    send.local.answer = lambda job: (b"K", b"ok\n")
    send.local.release(b"K", b"ok\n")
    send.wait_end(ident)
    send.queue.trigger()
    send.wait_log(f"end msg {ident}\n", 2)
    assert [j.address[:1] for j in send.jobs()] == [b"a", b"b"]


def test_term_lets_deliveries_finish(send):
    send.answers["local"] = lambda job: None
    send.start()
    ident = send.inject(MESSAGE, b"", [b"a@here.example"] * 12)
    send.wait_log("status: local 10/10")
    wait_for(lambda: len(send.local.held) == 10)
    send.kill(signal.SIGTERM)
    send.wait_log("number of deliveries left before exit: 10\n")
    send.wait_log("status: local 10/10 remote 0/20 exitasap\n")
    send.local.release(b"K", b"ok\n")
    assert send.wait_exit() == 0
    assert len(send.local.jobs) == 10
    assert send.queue.states(ident) == DELIVERED * 10 + WAITING * 2
    assert send.log().endswith("status: exiting\n")


def test_hup_rereads_locals_and_virtualdomains(send):
    send.answers["remote"] = lambda job: (b"Z", b"later\n")
    send.start()
    ident = send.inject(MESSAGE, b"", [b"a@there.example"])
    send.wait_log("deferral")
    send.control("virtualdomains", "there.example:new\n")
    send.kill(signal.SIGHUP)
    send.kill(signal.SIGALRM)
    send.wait_end(ident)
    assert send.local.jobs[0].address == b"new-a@there.example"
    # A file that cannot be read leaves the old list.
    (send.home / "control/virtualdomains").unlink()
    (send.home / "control/virtualdomains").mkdir()
    send.kill(signal.SIGHUP)
    send.wait_log("alert: unable to reread control/virtualdomains: ")
    send.wait_end(send.inject(MESSAGE, b"", [b"b@there.example"]))
    assert send.local.jobs[1].address == b"new-b@there.example"


@pytest.mark.parametrize("hosts, jobs", [(30, 20), (3, 3)])
def test_hup_in_mid_flight_does_not_deliver_twice(send, hosts, jobs):
    """As many jobs as there may be, or few with many recipients each."""
    send.start()
    find_working(send, hosts)
    send.remote.answer = lambda job: None
    want = [b"a%d@there%d.example" % (n, n % hosts) for n in range(30)]
    ident = send.inject(MESSAGE, b"", want)
    send.wait_log(f"status: local 0/10 remote {jobs}/20")
    wait_for(lambda: len(send.remote.held) == jobs)
    send.control("locals", "here.example\n" + "".join(
        f"there{n}.example\n" for n in range(hosts)))
    send.kill(signal.SIGHUP)
    send.queue.trigger()
    send.wait_end(send.inject(MESSAGE, b"", [b"x@here.example"]))
    send.remote.answer = lambda job: (b"K", b"ok\n")
    send.remote.release(b"K", b"ok\n")
    send.wait_end(ident)
    seen = [address for j in send.jobs() if j.id == ident for _, address in j.recipients]
    assert sorted(seen) == sorted(want)


def test_states_count_wherever_the_file_lies(send):
    queue = send.queue
    one = queue.write(MESSAGE, b"", [b"a@here.example", b"b@here.example"],
                      states=[DELIVERED, b"?"])
    two = queue.write(MESSAGE, b"", [b"c@here.example"], states=[DELIVERED],
                      folder="mess")
    send.start()
    send.wait_end(one)
    send.wait_end(two)
    assert [j.address for j in send.jobs()] == [b"b@here.example"]


def test_kill_at_random_points_loses_nothing(send):
    import random
    seed = int(os.environ.get("VALIJA_SEED", "1"))
    rng = random.Random(seed)
    delivered = []

    def answer(job):
        roll = job.address[0] % 4
        if roll == 0 and rng.random() < 0.3:
            return b"Z", b"later\n"
        if roll == 1:
            return b"D", b"no\n"
        delivered.append(job.address)
        return b"K", b"ok\n"

    send.answers = {"local": answer, "remote": answer}
    want = set()
    for round in range(12):
        send.start()
        for n in range(40):
            name = b"%c%d-%d" % (rng.choice(b"pqrs"), round, n)
            rcpts = [name + b"@here.example", name + b"@there.example"]
            want.update(rcpts)
            send.inject(MESSAGE, b"from-" + name + b"@far.example", rcpts)
        time.sleep(rng.random() * 0.1)
        send.stop(signal.SIGKILL)
    runs = send.log().count("running\n")
    send.start()
    send.wait_log("running\n", runs + 1)  # an earlier ALRM would end it
    rng.random = lambda: 1.0  # no more deferrals

    def drained():
        send.kill(signal.SIGALRM)
        time.sleep(0.05)
        return not send.queue.files("mess") and not send.queue.files("new")

    wait_for(drained, 60, "an empty queue")
    assert send.stop() == 0
    bounced = set()
    for message, envelope in send.bounces():
        bounced.update(re.findall(rb"^<(\S+)>:$", message, re.M))
    assert set(delivered) | bounced == want
    assert set(delivered) & bounced == set()
    # One extra copy a kill and slot at most.
    assert len(delivered) - len(set(delivered)) <= 12 * 30
    assert send.queue.files("bounce") == send.queue.files("bad") == []


def memory_kib(pid):
    if "san" in os.environ.get("VALIJA_BIN", ""):
        return 0  # sanitizers use as much as they like
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def test_long_queue_starts_quickly_in_little_memory(send):
    count = 20000
    queue = send.queue
    import queuefile
    base = 1000000000000000
    data = queuefile.content(MESSAGE, b"s@far.example", [b"a@there.example"],
                             base)
    for n in range(count):
        # Damaged footers would show at the first look: none is taken.
        path = queue.file("mess", base + n)
        path.write_bytes(data)
    send.control("concurrencyremote", "0\n")
    send.control("concurrencylocal", "0\n")
    began = time.monotonic()
    send.start()
    send.wait_log("running")
    took = time.monotonic() - began
    assert took < 3
    ident = send.inject(MESSAGE, b"", [b"x@here.example"])
    send.wait_log(f"new msg {ident}")
    grown = memory_kib(send.pid)
    assert grown < 2000 + count * 100 // 1024 + 4000
    assert queue.files("bad") == []
    assert send.stop() == 0


def test_long_queue_drains(send):
    count = 2000
    for n in range(count):
        send.queue.write(MESSAGE, b"", [b"a@there.example"], folder="mess",
                         ident=1000000000000000 + n)
    send.start()
    send.wait_log("end msg", count, timeout=60)
    assert len(send.remote.jobs) == count
    assert memory_kib(send.pid) < 8000
    # The youngest was first.
    assert send.remote.jobs[0].id == 1000000000000000 + count - 1


# ---- recipients of one job ----

def test_recipients_at_one_host_share_a_job(send):
    send.start()
    ident = send.inject(MESSAGE, b"s@far.example", [
        b"a@one.example", b"x@here.example", b"b@two.example", b"c@ONE.example",
        b"y@here.example", b"d@one.example", b"e@three.example", b"f@two.example"])
    send.wait_end(ident)
    assert sorted((job.host, tuple(a for _, a in job.recipients))
                  for job in send.remote.jobs) == [
        (b"one.example", (b"a@one.example", b"c@ONE.example", b"d@one.example")),
        (b"three.example", (b"e@three.example",)),
        (b"two.example", (b"b@two.example", b"f@two.example"))]
    assert sorted(len(job.recipients) for job in send.local.jobs) == [1, 1]
    # In the log each has a delivery of his own.
    for address in ("a@one.example", "c@ONE.example", "f@two.example", "y@here.example"):
        [(number, where)] = re.findall(
            rf"^starting delivery (\d+): msg {ident} to (local|remote) {address}$", send.log(), re.M)
        assert send.log().count(f"delivery {number}: success: ok/\n") == 1
    assert len(set(re.findall(r"^starting delivery (\d+):", send.log(), re.M))) == 8
    assert "remote 3/20" in send.log() and "remote 4/20" not in send.log()


def test_each_of_a_job_keeps_his_own_state(send):
    outcomes = {b"a": (b"K", b"ok\n"), b"b": (b"Z", b"later\n"), b"c": (b"D", b"no\n")}
    send.answers["remote"] = lambda job: outcomes[job.address[:1]]
    send.start()
    to = [name + b"%d@there.example" % n for n in range(3) for name in (b"a", b"b", b"c")]
    ident = send.inject(MESSAGE, b"s@far.example", to)
    send.wait_log("deferral: later/", 3)
    wait_for(lambda: send.queue.states(ident) == (DELIVERED + WAITING + FAILED) * 3)
    assert len(send.remote.jobs) == 1
    send.remote.answer = lambda job: (b"K", b"ok\n")
    send.kill(signal.SIGALRM)
    send.wait_end(ident)
    assert [address for _, address in send.remote.jobs[1].recipients] == to[1::3]
    ((message, _),) = send.bounces()
    assert re.findall(rb"^<(\S+)>:\nno$", message, re.M) == to[2::3]


def test_verp_makes_a_job_for_each(send):
    send.start()
    ident = send.inject(MESSAGE, b"list-@here.example-@[]",
                        [b"a@there.example", b"b@there.example"])
    send.wait_end(ident)
    assert [(job.sender, len(job.recipients)) for job in send.remote.jobs] == [
        (b"list-a=there.example@here.example", 1), (b"list-b=there.example@here.example", 1)]


def test_a_job_has_a_hundred_recipients_at_most(send):
    send.start()
    to = [b"u%d@h%d.example" % (n, n % 3) for n in range(900)]
    ident = send.inject(MESSAGE, b"s@far.example", to)
    send.wait_end(ident)
    assert sorted(len(job.recipients) for job in send.remote.jobs) == [100] * 9
    assert sorted(send.remote.addresses()) == sorted(to)


def test_a_job_fits_its_packet_whatever_the_addresses(send):
    message = b"Subject: x\n\n" + (b"y" * 63 + b"\n") * 1023
    send.start()
    to = [b"%03d" % n + b"u" * 900 + b"@there.example" for n in range(200)]
    ident = send.inject(message, b"s" * 900 + b"@far.example", to)
    send.wait_end(ident)
    assert sorted(send.remote.addresses()) == to
    assert max(len(job.recipients) for job in send.remote.jobs) > 20


def test_a_list_of_many_hosts_is_not_slow(send):
    """What looking ahead costs does not grow with the list."""
    send.start()
    to = [b"u%d@h%d.example" % (n, n) for n in range(20000)]
    ident = send.inject(MESSAGE, b"s@far.example", to)
    send.wait_end(ident, timeout=60)
    assert sorted(send.remote.addresses()) == sorted(to)


def test_a_lost_job_repeats_no_more_than_its_recipients(send):
    """Marked one by one: whoever was answered before the end is done."""
    send.answers["remote"] = lambda job: None if job.host == b"slow.example" else (b"K", b"ok\n")
    send.start()
    to = [b"u%d@%s.example" % (n, b"slow" if n % 2 else b"fast") for n in range(20)]
    ident = send.inject(MESSAGE, b"s@far.example", to)
    wait_for(lambda: send.queue.states(ident) == (DELIVERED + WAITING) * 10)
    send.stop(signal.SIGKILL)
    first = send.remote.addresses()
    send.answers["remote"] = None
    send.start()
    send.wait_end(ident)
    assert sorted(send.remote.addresses()) == sorted(to[1::2])
    assert sorted(first) == sorted(to)
