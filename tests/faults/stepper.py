"""Running a house so that the power can be cut at each of its steps.

Every process is traced with ptrace. Calls that may change what is on a disk
happen one at a time; before each of them, when nothing is being written, the
stepper offers a point: the moment for a copy of the disks. Calls that sync
are held back until nobody else can go on, as on a slow disk, so that what is
said too early is said before its sync. Which of several waiting syncs is let
go first, the caller chooses.
"""

import collections
import ctypes
import os
import signal
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                        ctypes.c_void_p]

PTRACE_CONT, PTRACE_SYSCALL = 7, 24
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
PTRACE_GET_SYSCALL_INFO = 0x420e
INFO_ENTRY, INFO_EXIT = 1, 2
# TRACESYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000
WALL, WNOTHREAD = 0x40000000, 0x20000000

AT_FDCWD = 0xffffff9c
O_CREAT, O_TRUNC = 0o100, 0o1000

# Numbers by name, of the architectures we know.
CALLS = {
    "x86_64": {
        "write": 1, "open": 2, "pwrite64": 18, "writev": 20, "sendfile": 40,
        "fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77,
        "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86,
        "unlink": 87, "symlink": 88, "sync": 162, "openat": 257,
        "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265,
        "symlinkat": 266, "fallocate": 285, "pwritev": 296, "syncfs": 306, "renameat2": 316,
        "copy_file_range": 326, "openat2": 437},
    "aarch64": {
        "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37,
        "renameat": 38, "truncate": 45, "ftruncate": 46, "fallocate": 47,
        "openat": 56, "write": 64, "writev": 66, "pwrite64": 68,
        "pwritev": 70, "sendfile": 71, "sync": 81, "fsync": 82, "fdatasync": 83,
        "syncfs": 267, "renameat2": 276, "copy_file_range": 285,
        "openat2": 437},
}
NAMES = {nr: name for name, nr in CALLS[os.uname().machine].items()}
SYNCS = {"fsync", "fdatasync", "sync", "syncfs"}
WITH_FD = {"write", "pwrite64", "pwritev", "writev", "sendfile", "fsync", "fdatasync",
           "ftruncate", "fallocate", "syncfs", "copy_file_range"}
# Which arguments are names: (directory, name) pairs; None: no directory.
WITH_NAMES = {
    "open": [(None, 0)], "creat": [(None, 0)], "truncate": [(None, 0)],
    "mkdir": [(None, 0)], "rmdir": [(None, 0)], "unlink": [(None, 0)],
    "rename": [(None, 0), (None, 1)], "link": [(None, 0), (None, 1)],
    "symlink": [(None, 1)], "openat": [(0, 1)], "openat2": [(0, 1)],
    "mkdirat": [(0, 1)], "unlinkat": [(0, 1)], "symlinkat": [(1, 2)],
    "renameat": [(0, 1), (2, 3)], "renameat2": [(0, 1), (2, 3)],
    "linkat": [(0, 1), (2, 3)]}
# Which argument has the flags, or leads to them.
OPENS = {"open": 1, "openat": 2, "openat2": 2}
REMOVES = {"rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"}

IDLE_LOOKS = 4
IDLE_PAUSE_S = 0.003


class TraceError(Exception):
    pass


def ptrace(request, pid, addr=0, data=0):
    result = libc.ptrace(request, pid, addr, data)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace {request:#x} {pid}: {os.strerror(error)}")
    return result


def ends(pid):
    """Is a process that cannot be traced about to be gone?"""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] in "ZX":
                    return True
        except OSError:
            return True
        time.sleep(0.002)
    return False


def read_u64(pid, address):
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(address)
        return int.from_bytes(memory.read(8), sys.byteorder)


def read_text(pid, address):
    """The C string at an address of a traced process."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(address)
        try:
            text = memory.read(512)
        except OSError:  # the end of its mapping is nearer than that
            memory.seek(address)
            text = memory.read(4096 - address % 4096)
    return os.fsdecode(text.split(b"\0")[0])


class Call:
    """One system call of one process that concerns the disks."""

    def __init__(self, pid, program, name, paths):
        self.pid = pid
        self.program = program
        self.name = name
        self.paths = paths
        self.failed = False

    def __str__(self):
        return f"{self.program}: {self.name} {' '.join(self.paths)}"


class Stepper:
    """
    folders: path -> name of the disk that it and all below it lie on.
    point(call): called before each step, when nothing else is under way.
    done(call): called after it.
    choose(calls): which of these syncs may happen now.
    """

    def __init__(self, folders, point, done, choose):
        self.folders = {str(path): name for path, name in folders.items()}
        self.point = point
        self.done = done
        self.choose = choose
        self.traced = set()
        self.waiting = collections.deque()  # steps that want to happen
        self.syncs = []                     # syncs that wait
        self.busy = None                    # the one that is happening
        self.requests = collections.deque()  # (what, event) from clients
        self.alive = 0                      # changes when anything happens

    # ---- from the clients' threads ----

    def stop_here(self, what, event):
        """Ask for a point; the event is set when it has been taken."""
        self.requests.append((what, event))

    # ---- looking at a stopped process ----

    def folder_of(self, path):
        for folder, name in self.folders.items():
            if path == folder or path.startswith(folder + "/"):
                return name
        return None

    def place(self, pid, dirfd, name_at):
        name = read_text(pid, name_at)
        if name.startswith("/"):
            return os.path.normpath(name)
        if dirfd is None or dirfd & 0xffffffff == AT_FDCWD:
            base = os.readlink(f"/proc/{pid}/cwd")
        else:
            base = os.readlink(f"/proc/{pid}/fd/{dirfd & 0xffffffff}")
        return os.path.normpath(os.path.join(base, name))

    def paths_of(self, pid, name, args):
        if name == "sync":
            return list(self.folders)
        if name in WITH_FD:
            fd = args[1] if name == "copy_file_range" else args[0]
            path = os.readlink(f"/proc/{pid}/fd/{fd & 0xffffffff}")
            return [path.removesuffix(" (deleted)")]
        return [self.place(pid, None if at is None else args[at], args[where])
                for at, where in WITH_NAMES[name]]

    def opens_to_change(self, pid, name, args):
        flags = args[OPENS[name]]
        if name == "openat2":
            flags = read_u64(pid, flags)
        return flags & (O_CREAT | O_TRUNC)

    def call_of(self, pid):
        """The call a process is about to make, if it concerns the disks."""
        space = ctypes.create_string_buffer(88)
        got = ptrace(PTRACE_GET_SYSCALL_INFO, pid, 88,
                     ctypes.addressof(space))
        op = space.raw[0]
        if op == INFO_EXIT and self.busy and self.busy.pid == pid:
            self.busy.failed = bool(space.raw[32])
        if op != INFO_ENTRY or got < 80:
            return op, None
        number, *args = struct.unpack_from("<7Q", space.raw, 24)
        name = NAMES.get(number)
        if name is None:
            return op, None
        try:
            if name in OPENS and not self.opens_to_change(pid, name, args):
                return op, None
            paths = self.paths_of(pid, name, args)
        except OSError:
            return op, None
        if not any(self.folder_of(path) for path in paths):
            return op, None
        with open(f"/proc/{pid}/comm") as comm:
            program = comm.read().strip()
        return op, Call(pid, program, name, paths)

    # ---- the loop ----

    def attach(self, pids):
        for pid in pids:
            try:
                ptrace(PTRACE_SEIZE, pid, 0, OPTIONS)
                ptrace(PTRACE_INTERRUPT, pid)
            except (ProcessLookupError, PermissionError):
                if ends(pid):  # one that served an earlier client
                    continue
                raise
            self.traced.add(pid)
        if not self.traced:
            raise TraceError("no process to trace")

    def resume(self, pid, sig=0):
        try:
            ptrace(PTRACE_SYSCALL, pid, 0, sig)
        except ProcessLookupError:
            pass  # killed; its end will be reported

    def gone(self, pid):
        self.traced.discard(pid)
        self.waiting = collections.deque(
            c for c in self.waiting if c.pid != pid)
        self.syncs = [c for c in self.syncs if c.pid != pid]
        if self.busy and self.busy.pid == pid:
            self.busy = None

    def at_syscall(self, pid):
        try:
            op, call = self.call_of(pid)
        except ProcessLookupError:
            return
        if call is not None:
            (self.syncs if call.name in SYNCS else self.waiting).append(call)
            return
        if op == INFO_EXIT and self.busy and self.busy.pid == pid:
            call, self.busy = self.busy, None
            self.done(call)
        self.resume(pid)

    def stopped(self, pid, status):
        self.traced.add(pid)
        sig, event = os.WSTOPSIG(status), status >> 16
        if sig == signal.SIGTRAP | 0x80:
            self.at_syscall(pid)
        elif event:
            self.resume(pid)
        else:
            self.resume(pid, sig)

    def drain(self):
        """Hear of everything that has happened. False if nothing had."""
        heard = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WALL | WNOTHREAD)
            except ChildProcessError:
                raise TraceError("every traced process has ended") from None
            if pid == 0:
                return heard
            heard = True
            self.alive += 1
            if os.WIFSTOPPED(status):
                self.stopped(pid, status)
            else:
                self.gone(pid)

    def step(self, call):
        self.point(call)
        self.busy = call
        self.resume(call.pid)

    def is_at_rest(self):
        """Nobody runs: all wait for us, or for something to happen."""
        for pid in self.traced:
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    state = stat.read().rsplit(")", 1)[1].split()[0]
            except OSError:
                return False
            if state not in "tS":
                return False
        return True

    def run(self, finished, timeout_s):
        """Go on until finished() is true while everybody is at rest."""
        deadline = time.monotonic() + timeout_s
        idle = 0
        while True:
            if time.monotonic() > deadline:
                raise TraceError(
                    f"no end after {timeout_s} s; busy {self.busy}, waiting "
                    f"{[str(c) for c in (*self.waiting, *self.syncs)]}")
            if self.drain():
                idle = 0
            if self.busy:
                time.sleep(0.0005)
                continue
            if self.requests:
                what, event = self.requests.popleft()
                self.point(what)
                event.set()
                idle = 0
                continue
            if self.waiting:
                self.step(self.waiting.popleft())
                idle = 0
                continue
            idle = idle + 1 if self.is_at_rest() else 0
            if idle < IDLE_LOOKS:
                time.sleep(IDLE_PAUSE_S if idle else 0.0005)
            elif self.syncs:
                call = self.choose(self.syncs)
                self.syncs.remove(call)
                self.step(call)
                idle = 0
            elif finished():
                return
            else:
                time.sleep(IDLE_PAUSE_S)

    def kill(self):
        """The power is cut: nobody does anything any more."""
        for pid in self.traced:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + 20
        while self.traced:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WALL | WNOTHREAD)
            except ChildProcessError:
                break
            if pid == 0:
                if time.monotonic() > deadline:
                    raise TraceError(f"would not die: {self.traced}")
                time.sleep(0.002)
            elif os.WIFSTOPPED(status):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            else:
                self.traced.discard(pid)
