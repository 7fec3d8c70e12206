"""What the kernel says of a process: who it is, what it has open and mapped."""

import contextlib
import os
import re
import signal
import stat


def read(pid, name):
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().decode(errors="surrogateescape")


def exe(pid):
    return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")


def argv(pid):
    return read(pid, "cmdline").split("\0")[:-1]


def children(pid):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        found += map(int, read(pid, f"task/{thread}/children").split())
    return found


def tree(pid):
    """pid and all that came of it, parents first: (pid, parent)."""
    rows = [(pid, 0)]
    for at, _ in rows:
        try:
            rows += [(child, at) for child in children(at)]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return rows


def status(pid):
    fields = dict(line.split(":", 1) for line in read(pid, "status").splitlines())
    return {name: value.strip() for name, value in fields.items()}


def alarm_if_heard(pid):
    """SIGALRM, unless it is gone, or has just begun and would die of it."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        masks = status(pid)
        if (int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)) >> 13 & 1:
            os.kill(pid, signal.SIGALRM)


def is_dumpable(pid):
    """Whether its uid may look into it: then that uid owns this."""
    return os.stat(f"/proc/{pid}/fd").st_uid == os.stat(f"/proc/{pid}").st_uid


# Capabilities by the names that the table uses (linux/capability.h).
CAP_NAMES = {"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3,
             "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
             "net_bind_service": 10, "net_raw": 13, "sys_chroot": 18,
             "sys_nice": 23, "sys_resource": 24, "audit_write": 29}
CAP_USERS = sum(1 << n for n in CAP_NAMES.values())


def cap_names(text):
    """`all` that this process has, `users` of them, `none`, or their names."""
    mask = int(text, 16)
    mine = int(status("self")["CapBnd"], 16)
    for name, group in (("none", 0), ("all", mine), ("users", CAP_USERS & mine)):
        if mask == group:
            return name
    names = {n: name for name, n in CAP_NAMES.items()}
    return " ".join(names.get(n, str(n)) for n in range(64) if mask >> n & 1)


def libraries(pid, own):
    """Files mapped besides the program itself."""
    found = set()
    for line in read(pid, "maps").splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/") and fields[5] != own:
            found.add(os.path.basename(fields[5]))
    return found


class Sockets:
    """Every socket of this machine by inode, with a word for what it is."""

    def __init__(self, ours):
        self.words = {}
        for name in ("tcp", "tcp6"):
            for line in self.lines(f"/proc/net/{name}"):
                fields = line.split()
                port = int(fields[1].rsplit(":", 1)[1], 16)
                word = "client" if port in ours else "server"
                self.words[fields[9]] = "listen" if fields[3] == "0A" else word
        for line in self.lines("/proc/net/unix"):
            fields = line.split(None, 7)
            word = "unix"
            if len(fields) > 7:
                word += " listen" if int(fields[3], 16) & 0x10000 else " accepted"
            self.words[fields[6]] = word

    @staticmethod
    def lines(path):
        try:
            with open(path, errors="surrogateescape") as file:
                return file.read().splitlines()[1:]
        except FileNotFoundError:
            return []

    def word(self, link):
        inode = re.match(r"socket:\[(\d+)\]", link).group(1)
        return self.words.get(inode, "socket")


MODES = ["r", "w", "rw", "?"]


def descriptor(pid, fd, home, sockets, logs):
    """(what it is in a few words, whether it is close-on-exec)."""
    link = os.readlink(f"/proc/{pid}/fd/{fd}")
    flags = int(re.search(r"flags:\s*([0-7]+)", read(pid, f"fdinfo/{fd}")).group(1), 8)
    closes = bool(flags & os.O_CLOEXEC)
    mode = MODES[flags & 3]
    if link.startswith("pipe:"):
        return "log" if link in logs else "pipe", closes
    if link.startswith("socket:"):
        return sockets.word(link), closes
    if link == "anon_inode:[signalfd]":
        return "signals", closes
    if link.startswith("/memfd:message"):
        return "message", closes
    if link == "/dev/null":
        return "null", closes
    there = os.stat(f"/proc/{pid}/fd/{fd}")
    if there.st_nlink:  # it has another name now
        link = link.removesuffix(" (deleted)")
    path = os.path.relpath(link, home) if link.startswith(str(home)) else link
    path = re.sub(r"(?<=/)\d+(?=/|$)", "*", path)
    path = re.sub(r"^service/[^/]+", "service/*", path)
    path = re.sub(r"^vpopmail/domains/[^/]+/[^/]+", "mailbox", path)
    kind = stat.S_IFMT(there.st_mode)
    if kind == stat.S_IFDIR:
        return "dir home" if path == "." else f"dir {path}", closes
    word = {stat.S_IFREG: "file", stat.S_IFIFO: "fifo"}.get(kind, "other")
    return f"{word} {path} {mode}", closes
