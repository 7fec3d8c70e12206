"""A scratch home with a queue and qmail-queued, and nothing else."""

import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from queuefile import crc32c, record, records, u64
from waiting import wait_for

PROGRAMS = ("qmail-queue", "qmail-queued", "qmail-qmake", "qmail-qstat",
            "qmail-qread")
MESSAGE = b"Subject: test\n\nHello\n"
ENVELOPE = b"Fa@example.org\0Tb@example.org\0\0"
NOBODY = 65534


class Sound:
    """A queue file, taken apart and checked by the document."""

    def __init__(self, path):
        self.path = path
        data = path.read_bytes()
        footer = data[-64:]
        (length, envelope, message_crc, envelope_crc, self.id,
         version) = struct.unpack_from("<6Q", footer)
        assert version == 1 and footer[48:56] == b"valijaQF"
        assert struct.unpack_from("<Q", footer, 56)[0] == crc32c(footer[:56])
        assert length + envelope + 64 == len(data)
        self.message = data[:length]
        assert crc32c(self.message) == message_crc
        self.records = list(records(data[length:length + envelope]))
        assert sum(16 + len(v) for _, v in self.records) == envelope
        summed = b"".join(record(k, v)[:16] + v[1:] if k == 16 else record(k, v)
                          for k, v in self.records)
        assert crc32c(summed) == envelope_crc
        assert path.name == str(self.id)
        self.received, _, self.body = self.message.partition(b"\n")

    def values(self, kind):
        return [v for k, v in self.records if k == kind]

    @property
    def sender(self):
        assert self.records[0][0] == 1 and len(self.values(1)) == 1
        return self.records[0][1]

    @property
    def recipients(self):
        assert all(v[:1] == b"W" for v in self.values(16))
        return [v[1:] for v in self.values(16)]


class QueueHouse:
    def __init__(self, bin, ids=None, split=3, owner=None, below=""):
        # Other uids must be able to walk there.
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="valija-queue-",
                                                   dir="/var/tmp"))
        self.place.chmod(0o755)
        self.home = self.place / below
        self.home.mkdir(parents=True, exist_ok=True)
        for name in ("bin", "control", "users"):
            (self.home / name).mkdir()
            (self.home / name).chmod(0o755)
        for name in PROGRAMS:
            shutil.copy(bin / name, self.home / "bin" / name)
        uid, gid = owner or (os.geteuid(), os.getegid())
        self.ids = ids or f"single {uid} {gid}\n"
        (self.home / "users/ids").write_text(self.ids)
        self.queue = self.home / "queue"
        self.errors = self.home / "errors"
        self.errors.touch()
        self.server = None
        self.servers = []
        self.owner = owner
        if owner:
            for path in [self.place, *self.place.rglob("*")]:
                os.chown(path, uid, gid)
        try:
            subprocess.run([self.home / "bin/qmail-qmake", str(split)],
                           check=True, **self.user())
        except Exception:
            shutil.rmtree(self.place)
            raise

    def user(self):
        if not self.owner:
            return {}
        return {"user": self.owner[0], "group": self.owner[1],
                "extra_groups": []}

    # ---- the server ----

    def start(self, *args, strace=None, wait=True, **kw):
        """Start qmail-queued; under strace with these options."""
        command = [self.home / "bin/qmail-queued", *map(str, args)]
        if strace is not None:
            command = ["strace", "-f", "-qq", "-o", self.home / "trace",
                       *strace, *command]
        heard = self.errors.stat().st_size
        kw.setdefault("stdin", subprocess.DEVNULL)
        with open(self.errors, "ab") as errors:
            self.server = subprocess.Popen(command, stderr=errors,
                                           **self.user(), **kw)
        self.servers.append(self.server)
        if wait:
            wait_for(lambda: b": listening" in self.log(heard)
                     or self.server.poll() is not None, 20, "qmail-queued")
            assert self.server.poll() is None, self.log(heard)
        return self.server

    def log(self, since=0):
        return self.errors.read_bytes()[since:]

    def trace(self):
        return (self.home / "trace").read_text(errors="replace")

    def pid(self):
        """Of qmail-queued itself, with or without strace around it."""
        exe = str(self.home / "bin/qmail-queued")
        if os.readlink(f"/proc/{self.server.pid}/exe") == exe:
            return self.server.pid
        return children(self.server.pid)[0]

    def committers(self):
        return children(self.pid())

    def stop(self, sig=signal.SIGTERM):
        """Stop it; returns the exit code (negative: the signal)."""
        if self.server.poll() is None:
            try:
                os.kill(self.pid(), sig)
            except (ProcessLookupError, FileNotFoundError, IndexError):
                pass
        return self.server.wait(20)

    def free(self):
        """No process of a server holds the lock any more."""
        exe = str(self.home / "bin/qmail-queued")

        def none_left():
            for entry in os.listdir("/proc"):
                try:
                    if entry.isdigit() and os.readlink(
                            f"/proc/{entry}/exe") == exe:
                        return False
                except OSError:
                    pass
            return True
        wait_for(none_left, 20, "the end of qmail-queued")

    def close(self):
        for server in self.servers:
            if server.poll() is None:
                for pid in children(server.pid) + [server.pid]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            server.wait(20)
        self.free()
        shutil.rmtree(self.place, ignore_errors=True)

    # ---- clients ----

    def popen(self, stdin, stdout, **kw):
        env = {"VALIJA_TEST_ENQUEUE_WAIT_MS": "10000", **kw.pop("env", {})}
        return subprocess.Popen([self.home / "bin/qmail-queue"], stdin=stdin,
                                stdout=stdout, env=env, **kw)

    def put(self, message=MESSAGE, envelope=ENVELOPE, **kw):
        """qmail-queue's exit code."""
        with tempfile.TemporaryFile() as zero, tempfile.TemporaryFile() as one:
            zero.write(message)
            one.write(envelope)
            zero.seek(0)
            one.seek(0)
            return self.popen(zero, one, **kw).wait(60)

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(20)
        sock.connect(str(self.queue / "socket/enqueue"))
        return sock

    # ---- what lies there ----

    def files(self, folder):
        return sorted((p for shard in (self.queue / folder).iterdir()
                       for p in shard.iterdir()), key=lambda p: int(p.name))

    def messages(self):
        return [Sound(path) for path in self.files("new")]

    def assert_empty(self):
        assert self.files("pid") == []
        assert self.files("new") == []


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()]


# ---- the protocol, spoken by hand ----

HELLO = record(1, b"valija-enqueue 1")


def chunk(data):
    return record(2, data)


def envelope(*parts):
    return record(3, b"".join(parts))


def sender(address=b"a@b"):
    return record(1, address)


def recipient(address=b"c@d"):
    return record(16, b"W" + address)


END = record(4, b"")
REQUEST = chunk(b"x\n") + envelope(sender(), recipient()) + END


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


def answer(sock):
    """(type, value) of the server's next record, None at the end."""
    head = read_exactly(sock, 16)
    if head is None:
        return None
    kind, length = struct.unpack("<QQ", head)
    return kind, read_exactly(sock, length) if length else b""


def refusal(sock):
    """The code of a REFUSED that comes now."""
    kind, value = answer(sock)
    assert kind == 18
    return struct.unpack_from("<Q", value)[0]


def done(sock):
    kind, value = answer(sock)
    assert kind == 17
    return struct.unpack("<Q", value)[0]


GO = (16, b"")
CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)")


def calls(trace):
    """(pid, syscall, line) of each line of a strace -f file."""
    found = []
    for line in trace.splitlines():
        match = CALL.match(line)
        if match:
            found.append((int(match[1]), match[2], line))
    return found
