"""What the processes of one system use: CPU, memory, and who they are.

A control group holds them, so that those which have ended count as well and
nothing is rounded to clock ticks. Kernel threads (the journal's, the disk's)
are in no such group: what they do for a system is not in its figure.
"""

import os
import pathlib
import signal
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))

from waiting import wait_for  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
MOUNTS = [pathlib.Path(p) for p in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")]


def hierarchy():
    """Where control groups of version 2 are mounted."""
    for path in MOUNTS:
        if (path / "cgroup.controllers").exists():
            return path
    raise RuntimeError("the bench wants control groups (version 2) mounted")


def own_group():
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return hierarchy() / line[3:].lstrip("/")
    raise RuntimeError("this process is in no control group of version 2")


class Account:
    """Whatever is started inside `with account:` is accounted for."""

    def __init__(self, name):
        self.home = own_group()
        self.group = hierarchy() / f"valija-bench-{os.getpid()}-{name}"
        self.group.mkdir()

    def __enter__(self):
        (self.group / "cgroup.procs").write_text(str(os.getpid()))

    def __exit__(self, *_):
        (self.home / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self):
        return [int(p) for p in (self.group / "cgroup.procs").read_text().split()]

    def cpu_ms(self):
        return parse_usage(self.group.joinpath("cpu.stat").read_text()) / 1000

    def private_kib(self):
        """Memory that is nobody else's, of all processes."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += parse_private(file.read())
            except OSError:
                pass  # it has just ended
        return total

    def close(self, patience_s=20):
        """When the last one has ended; what does not end is killed."""
        try:
            wait_for(lambda: not self.pids(), patience_s, "the last process")
        except AssertionError:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not self.pids(), patience_s, "the killed ones")
        self.group.rmdir()


def parse_usage(text):
    """Microseconds of a cpu.stat."""
    fields = dict(line.split() for line in text.splitlines())
    return int(fields["usage_usec"])


def parse_private(text):
    """KiB that a smaps_rollup calls private."""
    return sum(int(line.split()[1]) for line in text.splitlines()
               if line.startswith(("Private_Clean:", "Private_Dirty:")))


def machine_busy_ms():
    """CPU that the whole machine has used, whoever used it."""
    with open("/proc/stat") as file:
        return parse_busy(file.readline())


def parse_busy(line):
    """user nice system - - irq softirq of /proc/stat's first line, in ms."""
    fields = [int(n) for n in line.split()[1:]]
    return sum(fields[n] for n in (0, 1, 2, 5, 6)) * 1000 / TICK
