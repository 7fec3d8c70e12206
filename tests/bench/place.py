"""Where both systems keep queue and Maildirs: a disk in a file, or here.

The image is made anew (its blocks are allocated before, so that neither
system waits for the file below), mounted, and unmounted and removed at the
end, however the end comes.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/faults"))

from disk import MB, Disk, Kind, call, os_syncfs  # noqa: E402

TOP = pathlib.Path("/var/tmp")  # other uids must be able to walk there
SIZE = 6144 * MB

# As many inodes as 100,000 waiting messages of both systems want, and twice.
KINDS = {kind.name: kind for kind in [
    Kind("ext4", SIZE, ["mkfs.ext4", "-q", "-F", "-i", "8192", "-E",
                        "lazy_itable_init=0,lazy_journal_init=0"],
         "", "journal"),
    Kind("ext4-no-journal", SIZE,
         ["mkfs.ext4", "-q", "-F", "-i", "8192", "-O", "^has_journal", "-E",
          "lazy_itable_init=0"], "", "posix", "ext4"),
    Kind("xfs", SIZE, ["mkfs.xfs", "-q", "-f"], "", "journal"),
]}
WORDS = {"ext4": "ext4 with its journal", "xfs": "XFS",
         "ext4-no-journal": "ext4 without a journal"}


class Image(Disk):
    """A new file system in a file."""

    def __init__(self, kind, size=SIZE):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="valija-bench-", dir=TOP))
        self.top.chmod(0o755)
        self.size = size
        self.sync_mode = kind.sync
        self.words = f"{WORDS[kind.name]}, in a loop-mounted image"
        super().__init__(kind, self.top / "image", self.top / "disk")

    def __enter__(self):
        try:
            call("fallocate", "-l", self.size, self.image)
            call(*self.kind.mkfs, self.image)
            self.mount(self.image)
            self.place.chmod(0o755)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.unmount()
        finally:
            if not os.path.ismount(self.place):
                shutil.rmtree(self.top)


class Here:
    """A folder of this machine's own file system."""

    def __init__(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="valija-bench-", dir=TOP))
        self.place.chmod(0o755)
        kind = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", self.place],
                              capture_output=True, text=True, check=False)
        self.words = f"this machine's own {kind.stdout.strip() or 'file system'}"
        self.sync_mode = None  # whatever queue/format says

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.place, ignore_errors=True)

    def sync(self):
        fd = os.open(self.place, os.O_RDONLY)
        try:
            os_syncfs(fd)
        finally:
            os.close(fd)


def make(name):
    return Here() if name == "here" else Image(KINDS[name])
