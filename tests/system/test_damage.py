"""Damaged files: set aside or refused with a line, and the rest goes on.

Queue files are cut and altered at every byte by the generator below, from an
independent writer of the format (queuefile.py). None of it may be delivered
other than whole, none may be deleted, and a sound message beside it arrives.
The databases (users/cdb, vpasswd.cdb, morercpthosts.cdb, tcp.smtp.cdb) may
be wrong in any bit: the answer is then temporary, never "no such user" and
never "allowed".
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess

import pytest

import queuefile
from daemontools import cpu_ticks
from house import DOMAIN
from oracle import Oracle
from spawners import Send
from test_kill import restart, settle
from test_smtpd import Site
from waiting import wait_for

MESSAGE = b"Received: (qmail 1 invoked by uid 2)\nSubject: x\n\nhello\n"
RECIPIENT = b"a@here.example"


@pytest.fixture
def send(tmp_path, bin):
    system = Send(tmp_path, bin)
    yield system
    if system.pid is not None:
        system.stop(signal.SIGKILL)


def sound(ident):
    return queuefile.content(MESSAGE, b"s@far.example", [RECIPIENT], ident)


def state_at():
    """Where the only byte lies that may say anything."""
    whole = sound(1)
    return whole.index(b"W" + RECIPIENT)


def place(send, n, ident, data):
    """Into new/ or mess/, in turns."""
    folder = "new" if n % 2 else "mess"
    send.queue.file(folder, ident).write_bytes(data)


def ids(send, count):
    first = send.queue.new_id()
    send.queue.last += count
    return range(first, first + count)


def deliver_the_good(send):
    good = send.queue.write(MESSAGE, b"", [b"good@here.example"])
    send.start()
    send.wait_end(good)
    return good


def bad_files(send):
    return {int(name): (send.queue.path / "bad" / name).read_bytes()
            for name in send.queue.files("bad")}


def assert_set_aside(send, damaged):
    """All of these lie in bad/ as they were, said once each."""
    wait_for(lambda: len(send.queue.files("bad")) == len(damaged) and
             not send.queue.files("mess") and not send.queue.files("new"), 30,
             lambda: f"{len(damaged)} in bad:\n{send.log()[-3000:]}")
    assert bad_files(send) == damaged
    said = re.findall(r"^alert: \S+/(\d+) is damaged; moved to queue/bad/\1$",
                      send.log(), re.M)
    assert sorted(map(int, said)) == sorted(damaged)


def test_every_prefix_of_a_queue_file(send):
    size = len(sound(1))
    damaged = {}
    for n, ident in zip(range(1, size), ids(send, size)):
        data = sound(ident)[:n]
        place(send, n, ident, data)
        damaged[ident] = data
    empty = send.queue.new_id()
    send.queue.file("new", empty).write_bytes(b"")
    deliver_the_good(send)
    assert_set_aside(send, damaged)
    assert [job.address for job in send.jobs()] == [b"good@here.example"]
    assert f"queue/new/{empty % 3}/{empty} is empty; removed" in send.log()
    assert send.bounces() == []


def flipped(send, bits):
    """A file for each byte, with one wrong bit; the state byte left out."""
    damaged = {}
    size = len(sound(1))
    for bit in bits:
        for at, ident in zip(range(size), ids(send, size)):
            if at == state_at():
                continue
            data = bytearray(sound(ident))
            data[at] ^= 1 << (at + bit) % 8
            place(send, at, ident, data)
            damaged[ident] = bytes(data)
    return damaged


def test_a_wrong_bit_in_every_byte_of_a_queue_file(send):
    damaged = flipped(send, [0])
    deliver_the_good(send)
    assert_set_aside(send, damaged)
    assert [job.address for job in send.jobs()] == [b"good@here.example"]
    assert send.bounces() == []


@pytest.mark.soak
def test_every_wrong_bit_of_a_queue_file(send):
    damaged = flipped(send, range(8))
    deliver_the_good(send)
    assert_set_aside(send, damaged)
    assert [job.address for job in send.jobs()] == [b"good@here.example"]


def test_a_wrong_bit_in_a_state_means_waiting(send):
    expected = []
    for bit, ident in zip(range(8), ids(send, 8)):
        data = bytearray(sound(ident))
        data[state_at()] ^= 1 << bit
        place(send, bit, ident, data)
        expected.append(ident)
    deliver_the_good(send)
    for ident in expected:
        send.wait_end(ident)
    assert sorted(job.id for job in send.jobs())[:8] == expected
    assert bad_files(send) == {}


def damage_anyhow(data, chance):
    data = bytearray(data)
    size = len(data)
    kind = chance.randrange(6)
    at = chance.randrange(size)
    length = min(chance.randrange(1, 70), size - at)
    if kind == 0:
        data[at:at + length] = bytes(length)
    elif kind == 1:
        data[at:at + length] = chance.randbytes(length)
    elif kind == 2:
        data += chance.randbytes(chance.randrange(1, 200))
    elif kind == 3:  # a power cut: the size is there, the data is not
        data[at:] = bytes(size - at)
    elif kind == 4:
        del data[at:at + length]
    else:
        data[at:at] = data[:length]
    return bytes(data)


def chaos(send, count, seed):
    chance = random.Random(seed)
    damaged, same = {}, []
    for n, ident in zip(range(count), ids(send, count)):
        whole = sound(ident)
        data = damage_anyhow(whole, chance)
        if data == whole or (len(data) == len(whole) and
                             data[:state_at()] == whole[:state_at()] and
                             data[state_at() + 1:] == whole[state_at() + 1:]):
            same.append(ident)
        else:
            damaged[ident] = data
        place(send, n, ident, data)
    deliver_the_good(send)
    for ident in same:
        send.wait_end(ident)
    assert_set_aside(send, damaged)


def test_damage_of_any_kind(send):
    chaos(send, 400, os.environ.get("VALIJA_SEED", "1"))


@pytest.mark.soak
def test_much_damage_of_any_kind(send):
    chaos(send, 20000, os.environ.get("VALIJA_SEED", "2"))


# ---- what is not ours ----

def test_foreign_files_are_neither_touched_nor_a_loop(send):
    queue = send.queue
    ours = send.home / "precious"
    ours.write_bytes(b"not a queue file")
    kept = []
    for folder in ("new", "mess"):
        top = queue.path / folder
        for shard in (0, 1, 2):
            for name in ("core", ".hidden", "123x", "0123", "9" * 30, "-5",
                         "1 2", "README", "17.tmp"):
                (top / str(shard) / name).write_bytes(b"foreign")
                kept.append(top / str(shard) / name)
            (top / str(shard) / "lost+found").mkdir()
            kept.append(top / str(shard) / "lost+found")
        (top / "lost+found").mkdir()
        (top / "notes").write_bytes(b"x")
        kept += [top / "lost+found", top / "notes"]
    odd = {}
    for folder in ("new", "mess"):
        for kind in ("link", "dangling", "dir", "fifo", "socket"):
            ident = queue.new_id()
            path = queue.file(folder, ident)
            if kind == "link":
                path.symlink_to(ours)
            elif kind == "dangling":
                path.symlink_to("/nonexistent/file")
            elif kind == "dir":
                path.mkdir()
                (path / "inside").write_bytes(b"x")
            elif kind == "fifo":
                os.mkfifo(path)
            else:
                here = os.open(path.parent, os.O_RDONLY)
                sock = socket.socket(socket.AF_UNIX)
                # A socket's path is short.
                sock.bind(f"/proc/self/fd/{here}/{path.name}")
                sock.close()
                os.close(here)
            odd[ident] = kind
    deliver_the_good(send)
    wait_for(lambda: send.log().count("is damaged") == len(odd), 20,
             lambda: f"{odd}\n{send.log()}")
    for ident, kind in odd.items():
        # A sandbox does not let it move what is no plain file.
        path = queue.path / "bad" / str(ident)
        if not os.path.lexists(path):
            path = next(path for path in (queue.file("new", ident),
                                          queue.file("mess", ident))
                        if os.path.lexists(path))
        assert path.is_symlink() == (kind in ("link", "dangling"))
        assert kind != "dir" or (path / "inside").read_bytes() == b"x"
    assert all(path.exists() for path in kept)
    assert ours.read_bytes() == b"not a queue file"
    assert send.bounces() == []
    began = cpu_ticks(send.pid)
    for _ in range(20):
        send.queue.trigger()
        send.wait_end(send.inject(MESSAGE, b"", [b"more@here.example"]))
    assert cpu_ticks(send.pid) - began < 50
    assert send.log().count("is damaged") == len(odd)


def test_a_second_name_of_a_file_is_delivered_under_one(send):
    """A hard link, as some backups leave them: the id in the footer rules."""
    ident = send.queue.write(MESSAGE, b"", [RECIPIENT], folder="mess")
    other = send.queue.new_id()
    os.link(send.queue.file("mess", ident), send.queue.file("new", other))
    deliver_the_good(send)
    send.wait_end(ident)
    wait_for(lambda: send.queue.files("bad") == [str(other)])
    assert [j.address for j in send.jobs()].count(RECIPIENT) == 1


def test_later_files_wait_for_a_later_program(send):
    """Format version 2, whatever else is in it: untouched, said once."""
    kept = {}
    for n, ident in zip(range(20), ids(send, 20)):
        data = queuefile.content(MESSAGE + b"n" * n, b"", [RECIPIENT], ident,
                                 version=2 + n * n)
        place(send, n, ident, data)
        kept[ident] = data
    deliver_the_good(send)
    send.wait_log("has a later format; left alone", 20)
    for _ in range(3):
        send.wait_end(send.inject(MESSAGE, b"", [b"more@here.example"]))
        send.kill(signal.SIGALRM)
    assert send.log().count("later format") == 20
    for n, ident in enumerate(kept):
        path = send.queue.file("new" if n % 2 else "mess", ident)
        assert path.read_bytes() == kept[ident]


def test_a_format_file_with_any_wrong_byte_or_none(send):
    """Refused with one line, or understood: never half of each."""
    path = send.queue.path / "format"
    good = path.read_bytes()
    variants = [good[:n] for n in range(0, len(good), 5)]
    for at in range(len(good)):
        data = bytearray(good)
        data[at] ^= 1 << at % 8
        variants.append(bytes(data))
    refused = 0
    for data in variants:
        path.write_bytes(data)
        # Wherever it lies after an altered split.
        ident = send.queue.write(MESSAGE, b"", [RECIPIENT])
        before = len(send.log())
        send.start()
        wait_for(lambda: "\n" in send.log()[before:])
        if "cannot start" in send.log()[before:]:
            assert send.wait_exit() == 111
            assert send.log()[before:].count("\n") == 1, send.log()[before:]
            assert send.queue.file("new", ident).exists()
            send.queue.file("new", ident).unlink()
            refused += 1
        elif re.search(rb"^split 3$", data, re.M):
            send.wait_end(ident)
            assert send.stop() == 0
        else:
            # Another split is another, sound queue; nothing gets lost.
            send.stop(signal.SIGKILL)
            for found in send.queue.path.rglob(str(ident)):
                found.unlink()
    assert refused > len(variants) / 3


# ---- in a house ----

@pytest.fixture
def own(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()


def down(house, *services):
    house.svc("-d", *services)
    for service in services:
        wait_for(lambda: not house.pids(service), 20, f"{service} to end")


def test_a_queue_restored_from_a_tar_delivers_everything(own):
    """As on another machine: other inodes, other times, another order."""
    down(own, "qmail-send")
    oracle = Oracle(own)
    for n in range(5):
        assert oracle.send()
    # One of them had been taken over already.
    own_file = own.queue_files("new")[0]
    os.rename(own_file, str(own_file).replace("/new/", "/mess/"))
    down(own, "qmail-queued")
    tar = own.home / "queue.tar"
    subprocess.run(["tar", "-C", own.home, "-cf", tar, "--exclude=queue/socket/enqueue",
                    "queue"], check=True)
    before = {p.name: p.stat().st_ino for p in own.queue_files("new", "mess")}
    os.rename(own.home / "queue", own.home / "queue.old")
    subprocess.run(["tar", "-C", own.home, "-xpf", tar], check=True)
    after = {p.name: p.stat().st_ino for p in own.queue_files("new", "mess")}
    assert before.keys() == after.keys() and before != after
    own.svc("-u", "qmail-queued", "qmail-send")
    wait_for(lambda: own.pids("qmail-send"), 20, "qmail-send")
    settle(own)
    oracle.judge()
    shutil.rmtree(own.home / "queue.old")
    assert wait_for(oracle.send, 20, "mail to be accepted")
    settle(own)
    oracle.judge()


@pytest.mark.root
def test_a_file_of_another_owner_waits_and_is_said(own):
    down(own, "qmail-send")
    oracle = Oracle(own)
    assert oracle.send()
    [alien] = own.queue_files("new")
    st = alien.stat()
    os.chown(alien, 0, 0)
    alien.chmod(0o600)
    assert oracle.send()
    own.svc("-u", "qmail-send")
    wait_for(lambda: len(oracle.copies()) == 1, 20, "the other message")
    wait_for(lambda: f"unable to open queue/new/{alien.parent.name}/{alien.name}"
             in own.log(), 20, "a line about it")
    os.chown(alien, st.st_uid, st.st_gid)
    alien.chmod(0o660)
    # It would be looked for within a minute.
    (own.home / "queue/lock/trigger").write_bytes(b"\0")
    assert oracle.send()
    settle(own)
    oracle.judge()


def test_a_newer_queue_is_refused_by_all_and_left_alone(own):
    oracle = Oracle(own)
    assert oracle.send()
    settle(own)
    down(own, "qmail-send")
    assert oracle.send()
    [waiting] = own.queue_files("new")
    content = waiting.read_bytes()
    path = own.home / "queue/format"
    good = path.read_bytes()
    path.write_bytes(good.replace(b"valija-queue 1", b"valija-queue 2"))
    restart(own, "qmail-queued")
    own.svc("-u", "qmail-send")
    for service, words in (("qmail-queued", "newer version"),
                           ("qmail-send", "newer version")):
        wait_for(lambda: words in own.log(service), 20, f"{service} to refuse")
    assert waiting.read_bytes() == content
    path.write_bytes(good)
    wait_for(lambda: own.pids("qmail-send") and own.pids("qmail-queued"), 20,
             "them to start")
    wait_for(lambda: len(oracle.copies()) == 2, 20, "what waited")
    oracle.judge()


# ---- databases ----

def replace(path, content):
    st = path.stat()
    temp = path.with_suffix(".of-test")
    temp.write_bytes(content)
    os.chown(temp, st.st_uid, st.st_gid)
    temp.chmod(st.st_mode & 0o7777)
    os.replace(temp, path)


def values_of(content):
    """The bytes that belong to values: nothing protects those."""
    ends = [int.from_bytes(content[8 * t:8 * t + 4], "little") for t in range(256)
            if content[8 * t + 4:8 * t + 8] != bytes(4)]
    at, found = 2048, set()
    while at < min(ends):
        key = int.from_bytes(content[at:at + 4], "little")
        value = int.from_bytes(content[at + 4:at + 8], "little")
        # A length that is a little less is a shorter value.
        found.update(range(at + 4, at + 8))
        found.update(range(at + 8 + key, at + 8 + key + value))
        at += 8 + key + value
    return found


def damaged_cdbs(good, count, seed):
    """Cut, or with one wrong bit where it counts; a sample."""
    chance = random.Random(seed)
    values = values_of(good)
    heads = [8 * t + b for t in range(256) for b in range(8)
             if good[8 * t + 4:8 * t + 8] != bytes(4)]
    other = [at for at in range(2048, len(good)) if at not in values]
    for _ in range(count):
        yield "cut", good[:chance.randrange(len(good))]
        for where in (heads, other):
            at = chance.choice(where)
            data = bytearray(good)
            data[at] ^= 1 << chance.randrange(8)
            yield f"byte {at}", bytes(data)


def cdb_in_delivery(house, path, count):
    """Mail waits or arrives; nobody is told that nobody lives there."""
    good = path.read_bytes()
    oracle = Oracle(house)
    deferred = 0
    for what, data in damaged_cdbs(good, count, path.name):
        before = house.log()
        replace(path, data)
        try:
            assert oracle.send()
            wait_for(lambda: re.search(r"delivery \d+: (deferral|success|failure)",
                                       house.log()[len(before):]), 20,
                     lambda: f"a result with {what}\n{house.story()}")
            new = house.log()[len(before):]
            assert "failure" not in new, (what, new)
            deferred += "deferral" in new
        finally:
            replace(path, good)
        settle(house)
        oracle.judge()
    assert deferred >= count, "hardly any of it was noticed"
    assert not house.messages("ana"), "it bounced"


@pytest.mark.parametrize("path", ["users/cdb", f"vpopmail/domains/{DOMAIN}/vpasswd.cdb"])
def test_a_damaged_cdb_defers_and_never_bounces(running, path):
    cdb_in_delivery(running, running.home / path, 5)


@pytest.mark.soak
@pytest.mark.parametrize("path", ["users/cdb", f"vpopmail/domains/{DOMAIN}/vpasswd.cdb"])
def test_many_damaged_cdbs_defer_and_never_bounce(running, path):
    cdb_in_delivery(running, running.home / path, 150)


def make_cdb(bin, place, rules):
    path = place / "x.cdb"
    subprocess.run([bin / "tcprules", path, place / "x.tmp"], input=rules,
                   check=True, capture_output=True)
    return path


RULES = b"127.0.0.1:deny\n127.0.0.2:allow,RELAYCLIENT=\"\"\n:allow\n"


def rules_never_allow(bin, tmp_path, count):
    """The denied address stays denied: a damaged file serves nobody."""
    path = make_cdb(bin, tmp_path, RULES)
    good = path.read_bytes()
    env = {"TCPREMOTEIP": "127.0.0.1", "PATH": os.environ["PATH"]}
    seen = set()
    for what, data in damaged_cdbs(good, count, "rules"):
        path.write_bytes(data)
        result = subprocess.run([bin / "tcprulescheck", path], env=env,
                                capture_output=True, timeout=20)
        denied = result.returncode == 0 and b"deny connection" in result.stdout
        assert denied or result.returncode == 111, (what, result)
        seen.add(denied)
    assert seen == {True, False}


def test_damaged_rules_allow_nobody(bin, tmp_path):
    rules_never_allow(bin, tmp_path, 60)


@pytest.mark.soak
def test_any_damage_of_rules_allows_nobody(bin, tmp_path):
    rules_never_allow(bin, tmp_path, 2000)


def test_tcpserver_drops_who_comes_while_its_rules_are_damaged(bin, tmp_path):
    path = make_cdb(bin, tmp_path, RULES.replace(b"127.0.0.1:deny\n", b""))
    good = path.read_bytes()
    server = subprocess.Popen([bin / "tcpserver", "-HRl0", "-1", "-x", path,
                               "127.0.0.1", "0", "echo", "served"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        port = int(server.stdout.readline())

        def visit():
            with socket.create_connection(("127.0.0.1", port), 10) as sock:
                sock.settimeout(10)
                try:
                    return sock.recv(100)
                except ConnectionResetError:
                    return b""
        assert visit() == b"served\n"
        for data in (b"", good[:1000], good[:-1], b"\xff" * len(good)):
            path.write_bytes(data)
            assert visit() == b""
        path.write_bytes(good)
        assert visit() == b"served\n"
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()
        server.stderr.close()


def relay_is_never_opened(bin, tmp_path, count):
    """morercpthosts.cdb: our domain is deferred at worst, others refused."""
    site = Site(tmp_path, bin)
    from test_smtpd import cdb, code
    good = cdb([(b"more.example", b""), (b"other.example", b"")])
    answers = set()
    for what, data in damaged_cdbs(good, count, "more"):
        site.control("morercpthosts.cdb", data)
        s = site.session()
        greeting = s.recv()
        if greeting.startswith(b"421"):
            answers.add(421)
            s.end()
            continue
        s.ask(b"MAIL FROM:<a@t>\r\n")
        ours = code(s.ask(b"RCPT TO:<b@more.example>\r\n"))
        answers.add(ours)
        assert ours in (250, 451), (what, ours)
        assert code(s.ask(b"RCPT TO:<b@elsewhere.example>\r\n")) in (451, 553), what
        s.end()
    assert answers >= {250, 421}, answers


def test_damaged_morercpthosts_refuse_nobody_for_good(bin, tmp_path):
    relay_is_never_opened(bin, tmp_path, 20)


@pytest.mark.soak
def test_any_damage_of_morercpthosts(bin, tmp_path):
    relay_is_never_opened(bin, tmp_path, 500)
