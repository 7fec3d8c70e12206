"""qmail-lspawn, qmail-getpw and qmail-newu, through their descriptors."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import tempfile

import pytest

import jobs
from waiting import wait_for

ROOT = os.geteuid() == 0
MESSAGE = b"Subject: hello\n\nline\n"
# Numbers that no account has: nothing here needs a name in passwd.
UID, GID, QMAILP, ALIAS = 45671, 45671, 45672, 45673


class Instance:
    """A home with programs, users and one mailbox."""

    def __init__(self, bin):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="valija-lspawn-", dir="/var/tmp"))
        self.home.chmod(0o755)
        for name in ("control", "users", "alias", "bin", "u"):
            (self.home / name).mkdir()
        for name in ("qmail-lspawn", "qmail-local", "qmail-getpw", "qmail-newu"):
            shutil.copy(bin / name, self.home / "bin" / name)
        (self.home / "bin/qmail-local").chmod(0o711)  # as installed
        self.mailbox = self.home / "u"
        self.mailbox.chmod(0o700)
        self.uid, self.gid = (UID, GID) if ROOT else (os.getuid(), os.getgid())
        for sub in ("", "Maildir", "Maildir/new", "Maildir/cur", "Maildir/tmp"):
            path = self.mailbox / sub
            path.mkdir(exist_ok=True, mode=0o700)
            self.own(path)
        if ROOT:
            os.chown(self.home / "alias", ALIAS, ALIAS)
            ids = f"qmailp {QMAILP} {QMAILP}\nalias {ALIAS} {ALIAS}\n"
        else:
            ids = f"single {self.uid} {self.gid}\n"
        (self.home / "users/ids").write_text(ids)
        self.allow(f"{self.uid} {self.gid}\n{ALIAS} {ALIAS}\n{self.home}\n")
        self.assign(f"=box:box:{self.uid}:{self.gid}:{self.mailbox}:::\n"
                    f"+box-:box:{self.uid}:{self.gid}:{self.mailbox}:-::\n")
        self.peer = None

    def own(self, path):
        if ROOT:
            os.chown(path, UID, GID)

    def allow(self, text):
        path = self.home / "control/deliveryids"
        path.write_text(text)
        path.chmod(0o644)

    def newu(self):
        return subprocess.run([self.home / "bin/qmail-newu"], capture_output=True, text=True)

    def assign(self, text, dot=".\n"):
        (self.home / "users/assign").write_text(text + dot)
        done = self.newu()
        assert done.returncode == 0, done.stderr

    def qmail(self, name, text):
        path = self.mailbox / name
        path.write_text(text)
        path.chmod(0o600)
        self.own(path)

    def start(self, default="./Maildir/", **kw):
        self.peer = jobs.Peer([self.home / "bin/qmail-lspawn", default], **kw)
        assert self.peer.hello() >= 1
        return self.peer

    def deliver(self, address, message=MESSAGE, sender=b"s@x.test", number=1, **kw):
        if self.peer is None:
            self.start()
        self.peer.send(*jobs.job(number, message, sender, [(7, address)], **kw))
        got, outcomes = self.peer.result()
        assert got == number and list(outcomes) == [7]
        return outcomes[7]

    def new(self, maildir="Maildir"):
        return sorted((self.mailbox / maildir / "new").iterdir())

    def remove(self):
        if self.peer:
            self.peer.process.kill()
            self.peer.process.wait()
        shutil.rmtree(self.home)


@pytest.fixture
def instance(bin):
    it = Instance(bin)
    yield it
    it.remove()


def test_message_arrives_as_the_user(instance):
    assert instance.deliver(b"box@example.test") == ("K", "did 1+0+0\n")
    [file] = instance.new()
    assert file.read_bytes() == (b"Return-Path: <s@x.test>\n"
                                 b"Delivered-To: box@example.test\n" + MESSAGE)
    assert file.stat().st_uid == instance.uid
    assert file.stat().st_gid == instance.gid
    assert file.name.startswith("1700000000.Q0011223344556677I1700000000000000R7.")
    assert file.stat().st_mode & 0o077 == 0


def test_repeated_delivery_leaves_one_copy(instance):
    instance.deliver(b"box@example.test")
    assert instance.deliver(b"box@example.test")[0] == "K"
    assert len(instance.new()) == 1


def test_large_message_comes_in_a_memfd(instance):
    message = MESSAGE + b"x" * 998 + b"\n"
    message *= 200
    assert instance.deliver(b"box@example.test", message)[0] == "K"
    [file] = instance.new()
    assert file.read_bytes().endswith(message)


def test_wildcard_gives_the_extension_in_its_own_case(instance):
    instance.qmail(".qmail-list", "|echo $EXT; cat >seen; id -u >uid; pwd >pwd\n")
    letter, text = instance.deliver(b"BOX-LiSt@example.test")
    assert (letter, text) == ("K", "LiSt\ndid 0+0+1\n")
    assert (instance.mailbox / "seen").read_bytes() == MESSAGE
    assert int((instance.mailbox / "uid").read_text()) == instance.uid
    assert (instance.mailbox / "pwd").read_text().strip() == str(instance.mailbox)


def test_longest_wildcard_wins(instance):
    home = instance.mailbox
    for name in ("one", "two"):
        (home / name).mkdir(mode=0o700)
        instance.own(home / name)
        instance.qmail(f"{name}/.qmail-default", f"|echo {name} $EXT\n")
    instance.assign(f"+a-:box:{instance.uid}:{instance.gid}:{home}/one:-::\n"
                    f"+a-b-:box:{instance.uid}:{instance.gid}:{home}/two:-:pre-:\n")
    assert instance.deliver(b"a-b-c@x")[1].startswith("two pre-c\n")
    assert instance.deliver(b"a-bc@x")[1].startswith("one bc\n")
    assert instance.deliver(b"a-b@x")[1].startswith("one b\n")


def test_unknown_extension_is_refused(instance):
    assert instance.deliver(b"box-nobody@example.test") == (
        "D", "Sorry, no mailbox here by that name. (#5.1.1)\n")


def test_address_of_nobody_goes_to_alias(instance):
    alias = instance.home / "alias"
    (alias / ".qmail-zz-unknown-zz").write_text("|echo alias $LOCAL\n")
    (alias / ".qmail-zz-unknown-zz").chmod(0o644)
    assert instance.deliver(b"zz-unknown-zz@h") == (
        "K", "alias zz-unknown-zz\ndid 0+0+1\n")
    assert instance.deliver(b"zz-other@h")[0] == "D"


def test_without_users_cdb_everything_is_looked_up(instance):
    (instance.home / "users/cdb").unlink()
    assert instance.deliver(b"zz-other@h") == (
        "D", "Sorry, no mailbox here by that name. (#5.1.1)\n")


@pytest.mark.parametrize("damage", ["truncate", "offsets", "empty"])
def test_damaged_users_cdb_defers(instance, damage):
    """IM8: never "no such user"."""
    path = instance.home / "users/cdb"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        content = content[:1000]
    elif damage == "offsets":
        content[:2048] = b"\xff" * 2048
    else:
        content = b""
    path.write_bytes(content)
    assert instance.deliver(b"box@example.test") == (
        "Z", "Trouble reading users/cdb in qmail-lspawn.\n")


def test_empty_local_part_is_nobody(instance):
    assert instance.deliver(b"@example.test")[0] == "K"
    assert instance.new() == []


def test_the_last_at_sign_counts(instance):
    instance.qmail(".qmail-x@y", "|echo $LOCAL $HOST\n")
    assert instance.deliver(b"box-x@y@host")[1].startswith("box-x@y host\n")


def test_strangers_bytes_stay_bytes(instance):
    """No shell, option or path sees them as anything else."""
    instance.qmail(".qmail-default", "|printf '%s' \"$EXT\" >ext\n")
    for ext in (b"`touch p`", b"$(touch p)", b";touch p", b"-n", b"\xff\xfe\x01",
                b"../../etc/passwd", b"a\nb", b"x" * 900, b"%s%n"):
        letter, text = instance.deliver(b"box-" + ext + b"@h")
        assert letter == "K", (ext, text)
        assert (instance.mailbox / "ext").read_bytes() == ext
    assert not (instance.mailbox / "p").exists()
    assert not (instance.mailbox / "ext").read_bytes() == b""


def test_value_that_is_a_shell_function_is_defused(instance):
    """IN2 (Shellshock), in every variable that a stranger fills."""
    instance.qmail(".qmail-default", "|printf '%s' \"$EXT/$SENDER\" >ext\n")
    instance.deliver(b"box-() { :;}; touch p@h", sender=b"() { :;}; touch p@x")
    assert (instance.mailbox / "ext").read_bytes() == (
        b"_) { :;}; touch p/_) { :;}; touch p@x")


def test_environment_is_ours_and_the_jobs(instance):
    instance.qmail(".qmail-default", "|env >env\n")
    env = {"PATH": os.environ["PATH"], "FROM_START": "1", "DEFAULT": "wrong"}
    instance.start(env=env)
    instance.deliver(b"box-a-b-c-d@h.i.j.k", sender=b"s@x")
    got = dict(line.split("=", 1) for line in
               (instance.mailbox / "env").read_text().split("\n") if "=" in line)
    want = {"SENDER": "s@x", "NEWSENDER": "s@x", "RECIPIENT": "box-a-b-c-d@h.i.j.k",
            "USER": "box", "HOME": str(instance.mailbox), "HOST": "h.i.j.k",
            "HOST2": "h.i.j", "HOST3": "h.i", "HOST4": "h", "LOCAL": "box-a-b-c-d",
            "EXT": "a-b-c-d", "EXT2": "b-c-d", "EXT3": "c-d", "EXT4": "d",
            "DEFAULT": "a-b-c-d", "DTLINE": "Delivered-To: box-a-b-c-d@h.i.j.k",
            "RPLINE": "Return-Path: <s@x>", "FROM_START": "1"}
    assert {k: got.get(k) for k in want} == want
    assert got["UFLINE"].startswith("From s@x ")


def test_program_reads_the_message_from_its_beginning_every_time(instance):
    instance.qmail(".qmail", "|cat >one\n|cat >two\n./Maildir/\n")
    assert instance.deliver(b"box@h", as_memfd=True)[0] == "K"
    assert (instance.mailbox / "one").read_bytes() == MESSAGE
    assert (instance.mailbox / "two").read_bytes() == MESSAGE
    assert instance.new()[0].read_bytes().endswith(MESSAGE)


def test_long_report_is_cut(instance):
    instance.qmail(".qmail", "|head -c 1000000 /dev/zero | tr '\\0' x; exit 100\n")
    letter, text = instance.deliver(b"box@h")
    assert letter == "D"
    assert len(text) <= 2000
    assert "Error report too long" in text


def test_background_process_does_not_hold_the_delivery(instance):
    instance.qmail(".qmail", "|echo started; sleep 60 & echo $! >pid\n")
    assert instance.deliver(b"box@h") == ("K", "started\ndid 0+0+1\n")
    os.kill(int((instance.mailbox / "pid").read_text()), signal.SIGKILL)


def test_killed_qmail_local_defers(instance):
    instance.qmail(".qmail", "|kill -9 $PPID\n")
    assert instance.deliver(b"box@h") == ("Z", "qmail-local crashed.\n")
    instance.qmail(".qmail", "./Maildir/\n")
    assert instance.deliver(b"box@h")[0] == "K"


def test_delivery_over_its_time_is_ended(instance):
    (instance.home / "control/timeoutdelivery").write_text("1\n")
    instance.qmail(".qmail", "|echo $$ >pid; exec sleep 60\n")
    letter, text = instance.deliver(b"box@h")
    assert letter == "Z" and "took longer than 1 seconds" in text
    pid = int((instance.mailbox / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}") or
             open(f"/proc/{pid}/stat").read().split()[2] == "Z", 10, "its end")


def test_many_jobs_at_once(instance):
    instance.qmail(".qmail-default", "|sleep 0.1; echo $EXT\n")
    peer = instance.start()
    for n in range(150):
        peer.send(*jobs.job(n, MESSAGE, b"s@x", [(n, b"box-%d@h" % n)]))
    seen = {}
    for _ in range(150):
        number, outcomes = peer.result()
        seen[number] = outcomes
    assert seen == {n: {n: ("K", f"{n}\ndid 0+0+1\n")} for n in range(150)}
    assert peer.close()[0] == 0


def test_closing_waits_for_what_runs(instance):
    instance.qmail(".qmail", "|sleep 0.3\n")
    peer = instance.start()
    peer.send(*jobs.job(5, MESSAGE, b"s@x", [(0, b"box@h")]))
    peer.sock.shutdown(1)
    assert peer.result() == (5, {0: ("K", "did 0+0+1\n")})
    assert peer.process.wait(20) == 0


def test_unknown_version_defers_each_recipient(instance):
    peer = instance.start()
    packet, _ = jobs.job(9, MESSAGE, b"s@x", [(1, b"a@h"), (2, b"b@h")])
    peer.send(packet.replace(b"valija-job 1", b"valija-job 9"))
    number, outcomes = peer.result()
    assert number == 9
    assert {n: letter for n, (letter, _) in outcomes.items()} == {1: "Z", 2: "Z"}


def test_few_descriptors_mean_fewer_jobs_not_an_end(instance):
    import resource
    instance.peer = jobs.Peer([instance.home / "bin/qmail-lspawn", "./Maildir/"],
                              preexec_fn=lambda: resource.setrlimit(
                                  resource.RLIMIT_NOFILE, (72, 72)))
    assert instance.peer.hello() == 14
    for n in range(40):
        instance.peer.send(*jobs.job(n, MESSAGE, b"s@x", [(n, b"box@h")], as_memfd=True,
                                     id=1700000000000000 + n))
    assert sorted(instance.peer.result()[0] for _ in range(40)) == list(range(40))
    assert len(instance.new()) == 40


def test_no_descriptor_left_means_waiting(instance):
    import resource
    peer = instance.start()
    limits = resource.prlimit(peer.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(peer.process.pid, resource.RLIMIT_NOFILE, (6, limits[1]))
    peer.send(*jobs.job(1, MESSAGE, b"s@x", [(0, b"box@h")], as_memfd=True))
    peer.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        peer.result()
    assert peer.process.poll() is None
    peer.sock.settimeout(30)
    resource.prlimit(peer.process.pid, resource.RLIMIT_NOFILE, limits)
    assert peer.result() == (1, {0: ("K", "did 1+0+0\n")})


def test_message_shorter_than_its_size_defers(instance):
    packet, fd = jobs.job(1, MESSAGE, b"s@x", [(0, b"box@h")], as_memfd=True)
    packet = packet.replace(jobs.record(jobs.SIZE, len(MESSAGE)), jobs.record(jobs.SIZE, 10000))
    peer = instance.start()
    peer.send(packet, fd)
    assert peer.result()[1][0][0] == "Z"
    assert instance.new() == []


FAKE_WORKER = """#!/usr/bin/python3
import socket, struct, sys, os, signal
def record(kind, value):
    return struct.pack("<QQ", kind, len(value)) + value
def result(number, recipient, letter, text):
    return (record(1, b"valija-job 1") + record(3, struct.pack("<Q", number)) +
            record(32, struct.pack("<Q", recipient) + letter + text))
sock = socket.socket(fileno=0)
sock.recv(200000)
try:
    BODY
except OSError:
    pass
"""


@pytest.mark.parametrize("body, want", [
    ("sock.send(b'garbage')", ("Z", "qmail-local said something odd.\n")),
    ("sock.send(result(99, 0, b'K', b'lies')[:-3])", ("Z", "qmail-local said something odd.\n")),
    ("sock.send(result(1, 77, b'K', b'other'))", ("Z", "No outcome was reported.\n")),
    ("sock.send(result(99, 0, b'K', b'good'))", ("K", "good")),
    ("sock.send(result(1, 0, b'X', b'odd letter'))", ("Z", "odd letter")),
    ("[sock.send(result(1, 0, b'D', b'flood')) for _ in iter(int, 1)]", ("D", "flood")),
    ("[sock.send(b'x' * 180000) for _ in iter(int, 1)]", ("Z", "qmail-local said something odd.\n")),
    ("sock.send(result(1, 0, b'K', b'late end')); os.kill(os.getpid(), 9)", ("K", "late end")),
    ("sock.shutdown(2)", ("Z", "qmail-local crashed.\n")),
    ("sys.exit(100)", ("Z", "Unable to run qmail-local.\n")),
])
def test_whatever_a_worker_says_there_is_one_outcome(instance, body, want):
    path = instance.home / "bin/qmail-local"
    path.unlink()
    path.write_text(FAKE_WORKER.replace("BODY", body))
    path.chmod(0o755)
    peer = instance.start()
    for number in (1, 2):
        peer.send(*jobs.job(number, MESSAGE, b"s@x", [(0, b"box@h")]))
        assert peer.result() == (number, {0: want})
    assert peer.close()[0] == 0


# Says which disks its job names.
NAME_DISKS = """
    packet, at, found = JOB, 0, b"none"
    while at < len(packet):
        kind, size = struct.unpack_from("<QQ", packet, at)
        if kind == 31:
            value = packet[at + 16:at + 16 + size]
            found = b" ".join(b"%d" % d for d in struct.unpack(f"<{size // 8}Q", value))
        at += 16 + size
    sock.send(result(1, 0, b"K", b"[" + found + b"]"))
"""


def disks_named(instance, peer, number):
    peer.send(*jobs.job(number, MESSAGE, b"s@x", [(0, b"box@h")]))
    letter, text = peer.result()[1][0]
    assert letter == "K"
    return text.strip("[]")


@pytest.fixture
def disk_namer(instance):
    path = instance.home / "bin/qmail-local"
    path.unlink()
    path.write_text(FAKE_WORKER.replace("sock.recv(", "JOB = sock.recv(")
                    .replace("    BODY\n", NAME_DISKS))
    path.chmod(0o755)
    return instance


@pytest.mark.parametrize("value, careful", [(None, False), ("posix\n", True), ("journal\n", False)])
def test_homesync_posix_names_no_disks(disk_namer, value, careful):
    if value:
        (disk_namer.home / "control/homesync").write_text(value)
    named = disks_named(disk_namer, disk_namer.start(), 1)
    assert (named == "none") == careful
    assert re.fullmatch(r"none|(\d+( \d+)*)?", named)


@pytest.mark.root
def test_disks_are_named_as_they_come_and_go(disk_namer):
    """ext4 with and without its journal, in a mount name space of lspawn's own."""
    place = disk_namer.home / "mnt"
    place.mkdir()
    image = disk_namer.home / "image"

    def mount(*options):
        image.unlink(missing_ok=True)
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", *options, image], check=True)
        inside("mount", "-o", "loop", image, place)
        found = inside("stat", "-c", "%d", place, stdout=subprocess.PIPE)
        return found.stdout.decode().strip()

    def inside(*words, **kw):
        return subprocess.run(["nsenter", f"--mount=/proc/{peer.process.pid}/ns/mnt", *words],
                              check=True, **kw)

    disk_namer.peer = peer = jobs.Peer(
        ["unshare", "--mount", "--propagation", "private",
         disk_namer.home / "bin/qmail-lspawn", "./Maildir/"])
    peer.hello()
    before = disks_named(disk_namer, peer, 1).split()
    try:
        device = mount()
        assert sorted(disks_named(disk_namer, peer, 2).split()) == sorted([*before, device])
        inside("umount", place)
        assert disks_named(disk_namer, peer, 3).split() == before
        again = mount("-O", "^has_journal")
        assert again not in disks_named(disk_namer, peer, 4).split()
        inside("umount", place)
        again = mount("-O", "fast_commit")
        assert again not in disks_named(disk_namer, peer, 5).split()
        inside("umount", place)
    finally:
        assert peer.close()[0] == 0  # its mounts go with it


@pytest.mark.root
def test_root_is_never_delivered_as(instance):
    instance.allow(f"0 0\n0\n{instance.home}\n")
    instance.assign(f"=box:box:0:0:{instance.mailbox}:::\n")
    assert instance.deliver(b"box@h") == (
        "Z", "Not allowed to perform deliveries as root.\n")


@pytest.mark.root
@pytest.mark.parametrize("allowed, letter", [
    (f"{UID} {GID}\nHOME\n", "K"),
    (f"{UID}\nHOME\n", "K"),
    (f"100-60000\nHOME\n", "K"),
    (f"{UID} {GID + 1}\nHOME\n", "Z"),
    (f"{UID + 1} {GID}\nHOME\n", "Z"),
    (f"{UID} {GID}\n", "Z"),
    (f"{UID} {GID}\nHOME/v\n", "Z"),
    (f"{UID} {GID}\nHOME/\n", "K"),
    ("", "Z"),
])
def test_only_listed_users_get_mail(instance, allowed, letter):
    instance.allow(allowed.replace("HOME", str(instance.home)))
    got = instance.deliver(b"box@h")
    assert got[0] == letter, got


@pytest.mark.root
def test_missing_or_foreign_deliveryids_defers(instance):
    path = instance.home / "control/deliveryids"
    os.chown(path, UID, GID)
    assert instance.deliver(b"box@h")[0] == "Z"
    path.unlink()
    letter, text = instance.deliver(b"box@h")
    assert letter == "Z" and "control/deliveryids is missing" in text


@pytest.mark.root
def test_groups_are_exactly_the_users(instance):
    instance.qmail(".qmail", "|id -G\n")
    assert instance.deliver(b"box@h") == ("K", f"{GID}\ndid 0+0+1\n")


def runs_setuid(instance):
    return not os.statvfs(instance.home).f_flag & os.ST_NOSUID


@pytest.mark.root
def test_a_users_line_may_run_what_is_setuid(instance):
    """qmail-lspawn has few capabilities; a program of root's has its own."""
    if not runs_setuid(instance):
        pytest.skip("/var/tmp is mounted nosuid")
    secret = instance.home / "secret"
    secret.write_text("of another user\n")
    os.chown(secret, QMAILP, QMAILP)
    secret.chmod(0o600)
    shutil.copy("/bin/cat", instance.home / "read")
    instance.qmail(".qmail", f"|{instance.home}/read {secret}\n")
    assert instance.deliver(b"box@h")[0] != "K"
    (instance.home / "read").chmod(0o4755)
    assert instance.deliver(b"box@h") == ("K", "of another user\ndid 0+0+1\n")


@pytest.mark.root
def test_a_users_line_may_run_what_has_file_capabilities(instance):
    """As ping has; execve fails where one of them cannot be had."""
    net_raw = 1 << 13
    with open("/proc/self/status") as status:
        mine = int(re.search(r"CapBnd:\t(\w+)", status.read())[1], 16)
    if not runs_setuid(instance) or not mine & net_raw:
        pytest.skip("no capabilities of files here")
    ping = instance.home / "ping"
    shutil.copy("/bin/true", ping)
    ping.chmod(0o755)
    # Revision 2 of linux/capability.h, effective.
    os.setxattr(ping, "security.capability",
                struct.pack("<5I", 0x02000001, net_raw, 0, 0, 0))
    instance.qmail(".qmail", f"|{ping}\n")
    assert instance.deliver(b"box@h") == ("K", "did 0+0+1\n")


@pytest.mark.root
def test_fork_failure_defers_and_goes_on(instance):
    """strace makes clone fail in qmail-lspawn itself."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = instance.home / "trace"
    instance.peer = jobs.Peer(
        ["strace", "-qq", "-o", trace, "--inject=clone,clone3,fork,vfork:error=EAGAIN:when=1..2",
         instance.home / "bin/qmail-lspawn", "./Maildir/"])
    instance.peer.hello()
    assert instance.deliver(b"box@h")[0] == "Z"
    assert instance.deliver(b"zz@h") == ("Z", "Unable to run qmail-getpw.\n")
    assert instance.deliver(b"box@h")[0] == "K"
    assert "INJECTED" in trace.read_text()


# ---- qmail-newu ----

def test_newu_writes_what_the_reader_of_the_manual_expects(instance):
    instance.assign("=Joe.Shmoe:joe:503:78:/home/joe:::\n"
                    "+JOE-:joe:503:78:/home/joe:-::\n"
                    "+:alias:7790:2108:/var/qmail/alias:-::\n"
                    "+x.:x:1:2:/x:-:pre:ignored\n")
    cdb = (instance.home / "users/cdb").read_bytes()
    end = min(struct.unpack_from("<II", cdb, 8 * n)[0] for n in range(256))
    records, at = [], 2048
    while at < end:
        key, value = struct.unpack_from("<II", cdb, at)
        at += 8
        records.append((cdb[at:at + key], cdb[at + key:at + key + value]))
        at += key + value
    assert records == [
        (b"!joe.shmoe\0", b"joe\x00503\x0078\x00/home/joe\0\0"),
        (b"!joe-", b"joe\x00503\x0078\x00/home/joe\0-\0"),
        (b"!", b"alias\x007790\x002108\x00/var/qmail/alias\0-\0"),
        (b"!x.", b"x\x001\x002\x00/x\0-\0pre"),
        (b"", b"-.")]


@pytest.mark.parametrize("text, dot", [
    ("=a:b:1:2:/h:::\n", ""),
    ("=a:b:1:2:/h:::\n", "."),
    ("=a:b:1:2:/h:-\n", ".\n"),
    ("a:b:1:2:/h:::\n", ".\n"),
    ("=a:b:1:2:/\0h:::\n", ".\n"),
    ("\n", ".\n"),
])
def test_newu_refuses_half_a_file_and_keeps_the_old(instance, text, dot):
    before = (instance.home / "users/cdb").read_bytes()
    (instance.home / "users/assign").write_text(text + dot)
    done = instance.newu()
    if dot == "." and text == "=a:b:1:2:/h:::\n":
        assert done.returncode == 0  # a dot without LF is a dot
        return
    assert done.returncode == 111
    assert "bad format in users/assign" in done.stderr
    assert (instance.home / "users/cdb").read_bytes() == before
    assert sorted(os.listdir(instance.home / "users")) == ["assign", "cdb", "ids"]


def test_many_newu_at_once_leave_a_whole_file(instance):
    running = [subprocess.Popen([instance.home / "bin/qmail-newu"]) for _ in range(12)]
    assert [p.wait(30) for p in running] == [0] * 12
    assert instance.deliver(b"box@h")[0] == "K"
    assert sorted(os.listdir(instance.home / "users")) == ["assign", "cdb", "ids"]


# ---- qmail-getpw ----

def getpw(instance, local, **kw):
    done = subprocess.run([instance.home / "bin/qmail-getpw", local],
                          capture_output=True, **kw)
    return done.returncode, done.stdout


def test_getpw_reads_its_input_when_there_is_no_argument(instance):
    """So that qmail-lspawn need not show a recipient to everybody."""
    for local in (b"no-such-user-here", b"", b"x" * 900, b"-", b"\xff\n"):
        read = subprocess.run([instance.home / "bin/qmail-getpw"], input=local,
                              capture_output=True)
        assert (read.returncode, read.stdout) == getpw(instance, local)
    for local in (b"a\0b", b"x" * 300000):
        read = subprocess.run([instance.home / "bin/qmail-getpw"], input=local,
                              capture_output=True)
        assert (read.returncode, read.stdout) == (100, b"")


def test_the_address_is_no_argument_of_getpw(instance):
    (instance.home / "bin/qmail-getpw").unlink()
    (instance.home / "bin/qmail-getpw").write_text(
        "#!/bin/sh\n[ $# = 0 ] && [ \"$(cat)\" = zz ] && exit 116\nexit 111\n")
    (instance.home / "bin/qmail-getpw").chmod(0o755)
    assert instance.deliver(b"zz@h") == ("Z", "Unable to find alias user!\n")


def takes_mail(account):
    """As qmail-getpw(8) says; in an instance, only its own user does."""
    if account.pw_uid == 0 or (not ROOT and account.pw_uid != os.getuid()):
        return False
    try:
        return os.stat(account.pw_dir).st_uid == account.pw_uid
    except OSError:
        return False


def test_getpw_knows_who_takes_mail(instance):
    for account in pwd.getpwall():
        name = account.pw_name
        if len(name) > 31 or name != name.lower() or pwd.getpwnam(name) != account:
            continue
        code, answer = getpw(instance, name.upper() + "-A-b")
        assert code == 0
        if not takes_mail(account):
            assert answer.split(b"\0")[0] == b"alias", account
            continue
        head = f"{name}\0{account.pw_uid}\0{account.pw_gid}\0{account.pw_dir}\0"
        assert answer == (head + "-\0A-b\0").encode()
        assert getpw(instance, name) == (0, (head + "\0\0").encode())


def test_getpw_gives_the_rest_to_alias(instance):
    alias = ALIAS if ROOT else os.getuid()
    group = ALIAS if ROOT else os.getgid()
    want = f"alias\0{alias}\0{group}\0{instance.home}/alias\0-\0".encode()
    for local in (b"root", b"no-such-user-here", b"", b"x" * 500, b"-", b"\xff\n"):
        assert getpw(instance, local) == (0, want + local + b"\0")
