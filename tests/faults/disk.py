"""Disks in files: made, mounted, copied at a moment, and mounted again.

A loop device writes what the file system hands it into its backing file, so
the backing file is what a disk would hold if the power failed now. A copy is
only taken while nothing is in flight. What this cannot see is a disk that
forgets writes although it was told to flush them, or a flush never sent.
"""

import os
import pathlib
import subprocess
import time

MB = 1 << 20


class Kind:
    def __init__(self, name, size, mkfs, options, sync, needs=None, fsck=None):
        self.name = name
        self.size = size
        self.mkfs = mkfs
        self.options = options
        self.sync = sync      # what queue/format must say
        self.fs = needs or name
        self.fsck = fsck      # what every machine runs before mounting it

    def usable(self):
        """May this kernel mount it?"""
        with open("/proc/filesystems") as known:
            return self.fs in known.read().split()


EXT4 = ["mkfs.ext4", "-q", "-F", "-E",
        "lazy_itable_init=0,lazy_journal_init=0"]
# Without a journal, -p gives up on names that lead to unwritten inodes.
FSCK = ["e2fsck", "-f", "-y"]
# Long intervals, so that only what is asked for is written.
KINDS = {kind.name: kind for kind in [
    Kind("ext4", 64 * MB, EXT4, "commit=300", "journal"),
    Kind("ext4-fast-commit", 64 * MB, [*EXT4, "-O", "fast_commit"],
         "commit=300", "posix", "ext4"),
    Kind("ext4-no-journal", 64 * MB, [*EXT4, "-O", "^has_journal"], "",
         "posix", "ext4", FSCK),
    Kind("xfs", 320 * MB, ["mkfs.xfs", "-q", "-f"], "", "journal"),
    Kind("btrfs", 256 * MB, ["mkfs.btrfs", "-q", "-f", "-M"], "commit=300",
         "journal"),
]}


def call(*words):
    result = subprocess.run([str(w) for w in words], capture_output=True,
                            text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {result.stderr}")
    return result.stdout


def copy_sparse(source, target):
    """Copy what is used of a file."""
    with open(source, "rb", 0) as src, open(target, "wb", 0) as dst:
        size = os.fstat(src.fileno()).st_size
        os.ftruncate(dst.fileno(), size)
        at = 0
        while at < size:
            try:
                at = os.lseek(src.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(src.fileno(), at, os.SEEK_HOLE)
            while at < end:
                piece = os.pread(src.fileno(), min(MB, end - at), at)
                if piece.count(0) != len(piece):
                    os.pwrite(dst.fileno(), piece, at)
                at += len(piece)


class Disk:
    """One file system in a file, mounted at a place."""

    def __init__(self, kind, image, place):
        self.kind = kind
        self.image = pathlib.Path(image)
        self.place = pathlib.Path(place)
        self.place.mkdir(parents=True, exist_ok=True)
        self.stat = None
        self.binds = []
        self.last = None  # (sectors written, copy)

    def make(self):
        with open(self.image, "wb") as file:
            file.truncate(self.kind.size)
        call(*self.kind.mkfs, self.image)
        call("fallocate", "-d", self.image)
        self.mount(self.image)

    def mount(self, image):
        options = ["loop", "noatime"]
        if self.kind.options:
            options.append(self.kind.options)
        call("mount", "-t", self.kind.fs, "-o", ",".join(options), image,
             self.place)
        device = call("findmnt", "-n", "-o", "SOURCE", self.place).strip()
        device = device.split("[")[0].removeprefix("/dev/")
        self.stat = f"/sys/block/{device}/stat"

    def bind(self, folder, place):
        (self.place / folder).mkdir(exist_ok=True)
        call("mount", "--bind", self.place / folder, place)
        self.binds.append(place)

    def recover(self, image):
        """What a machine does when it comes up again. False: it cannot.

        The kernel cannot always replay its own fast commits, and e2fsck
        (1.47.0) loses what they hold: that file system breaks its promise,
        whatever is written to it. The run counts it as refused.
        """
        if self.kind.fsck:
            done = subprocess.run([*self.kind.fsck, image],
                                  capture_output=True, text=True)
            if done.returncode > 2:
                raise RuntimeError(f"e2fsck: {done.stdout}{done.stderr}")
        try:
            self.mount(image)
        except RuntimeError as error:
            if "fast-commit" in self.kind.name and \
                    "needs cleaning" in str(error):
                return False
            raise
        return True

    def unmount(self):
        for place in [*reversed(self.binds), self.place]:
            if not os.path.ismount(place):
                continue
            for _ in range(200):
                done = subprocess.run(["umount", place], capture_output=True,
                                      text=True)
                if done.returncode == 0:
                    break
                time.sleep(0.02)  # killed processes let go in a moment
            else:
                raise RuntimeError(f"umount {place}: {done.stderr}")
        self.binds = []
        self.last = None

    # ---- what has reached the disk ----

    def written(self):
        """Sectors written since it was mounted, once none is in flight."""
        deadline = time.monotonic() + 10
        while True:
            with open(self.stat) as stat:
                fields = stat.read().split()
            if fields[8] == "0":
                return int(fields[6])
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.stat}: never at rest")
            time.sleep(0.001)

    def copy(self, target):
        """A copy of this moment; an earlier one if nothing was written."""
        while True:
            before = self.written()
            if self.last and self.last[0] == before:
                return self.last[1]
            copy_sparse(self.image, target)
            if self.written() == before:
                self.last = (before, target)
                return target

    def sync(self):
        fd = os.open(self.place, os.O_RDONLY)
        try:
            os_syncfs(fd)
        finally:
            os.close(fd)


def os_syncfs(fd):
    import ctypes
    if ctypes.CDLL(None, use_errno=True).syncfs(fd) == -1:
        raise OSError(ctypes.get_errno(), "syncfs")
