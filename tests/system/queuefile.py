"""An independent writer and reader of doc/queue.md, for tests."""

import os
import pathlib
import struct
import time

WAITING, DELIVERED, FAILED = b"W", b"D", b"X"

_TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ (0x82F63B78 if _n & 1 else 0)
    _TABLE.append(_n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4


def u64(number):
    return struct.pack("<Q", number)


def record(kind, value):
    return u64(kind) + u64(len(value)) + value


def records(data):
    """All (type, value) of whole records."""
    at = 0
    while len(data) - at >= 16:
        kind, length = struct.unpack_from("<QQ", data, at)
        if at + 16 + length > len(data):
            break
        yield kind, data[at + 16:at + 16 + length]
        at += 16 + length


def content(message, sender, recipients, ident, uid=1000, pid=4711,
            states=None, version=1, extra=b""):
    """The bytes of a queue file. Recipients are bytes."""
    states = states or [WAITING] * len(recipients)
    envelope = record(1, sender)
    summed = record(1, sender)
    for part in (record(2, u64(uid)), record(3, u64(pid)), extra):
        envelope += part
        summed += part
    for address, state in zip(recipients, states):
        envelope += record(16, state + address)
        summed += record(16, state + address)[:16] + address
    footer = (u64(len(message)) + u64(len(envelope)) + u64(crc32c(message)) +
              u64(crc32c(summed)) + u64(ident) + u64(version) + b"valijaQF")
    return message + envelope + footer + u64(crc32c(footer))


def states_of(image):
    """The recipients' state bytes of a file's bytes; None for anything else."""
    if len(image) < 64 or image[-16:-8] != b"valijaQF":
        return None
    length, envelope = struct.unpack_from("<QQ", image, len(image) - 64)
    return b"".join(value[:1] for kind, value
                    in records(image[length:length + envelope]) if kind == 16)


def log_records(home):
    """(segment, offset, state, image) of every record in queue/log/."""
    for path in sorted((pathlib.Path(home) / "queue/log").glob("*")):
        data = path.read_bytes()
        if data[:8] != b"valijaLG":
            continue
        generation = struct.unpack_from("<Q", data, 16)[0]
        at = 4096
        while (at := data.find(b"valijaLR", at)) != -1:
            head = data[at:at + 64]
            if (at % 8 or len(head) < 64 or
                    struct.unpack_from("<QQ", head, 8) != (generation, at) or
                    u64(crc32c(head[:32])) != head[32:40]):
                at += 1
                continue
            length = struct.unpack_from("<Q", head, 24)[0]
            yield path, at, head[40:41], data[at + 64:at + 64 + length]
            at = (at + 64 + length + 7) // 8 * 8


def waiting_in_log(home):
    """Paths SEGMENT/OFFSET of the records that somebody still waits for."""
    return [path / str(at) for path, at, state, image in log_records(home)
            if state not in (b"M", b"C") and
            set(states_of(image) or b"W") != {ord("D")}]


class Queue:
    """queue/ below a home directory."""

    def __init__(self, home, split=3):
        self.home = pathlib.Path(home)
        self.path = self.home / "queue"
        self.split = split
        self.last = 0

    def create(self):
        for folder in ("pid", "new", "mess", "bounce"):
            for shard in range(self.split):
                (self.path / folder / str(shard)).mkdir(parents=True)
        for folder in ("bad", "lock", "socket", "log"):
            (self.path / folder).mkdir()
        os.mkfifo(self.path / "lock/trigger")
        (self.path / "format").write_text(
            f"valija-queue 1\nsplit {self.split}\nsync posix\n"
            f"identity {'0123456789abcdef' * 2}\n")

    def new_id(self, age_s=0):
        self.last = max(self.last + 1,
                        time.time_ns() // 1000 - age_s * 1000000)
        if age_s:
            return time.time_ns() // 1000 - age_s * 1000000
        return self.last

    def file(self, folder, ident):
        return self.path / folder / str(ident % self.split) / str(ident)

    def write(self, message, sender, recipients, folder="new", ident=None,
              shard=None, age_s=0, **how):
        """Put a message there by rename; returns its id."""
        ident = ident or self.new_id(age_s)
        path = self.file(folder, ident)
        if shard is not None:
            path = self.path / folder / str(shard) / str(ident)
        temp = self.path / "pid" / str(ident)
        temp.write_bytes(content(message, sender, recipients, ident, **how))
        temp.rename(path)
        return ident

    def trigger(self):
        fd = os.open(self.path / "lock/trigger", os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"x")
        os.close(fd)

    def states(self, ident, folder="mess"):
        """The recipients' state bytes, or None when the file is gone."""
        try:
            data = self.file(folder, ident).read_bytes()
        except FileNotFoundError:
            return None
        return states_of(data)

    def files(self, folder):
        if folder == "bad":
            return sorted(p.name for p in (self.path / folder).iterdir())
        return sorted(p.name for shard in (self.path / folder).iterdir()
                      for p in shard.iterdir())
