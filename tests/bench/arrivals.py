"""When files get their names in folders: inotify, read in a thread.

Counting a Maildir by listing it costs more than the delivery; this costs a
read now and then, the same whoever delivers.
"""

import ctypes
import os
import select
import struct
import threading
import time

CREATE, MOVED_TO, OVERFLOW = 0x100, 0x80, 0x4000
EVENT = struct.Struct("iIII")
LIBC = ctypes.CDLL(None, use_errno=True)


def parse_events(data):
    """(watch, mask, name) of each event in what a read of inotify gave."""
    at, found = 0, []
    while at < len(data):
        watch, mask, _, length = EVENT.unpack_from(data, at)
        name = data[at + EVENT.size:at + EVENT.size + length].rstrip(b"\0")
        found.append((watch, mask, name.decode()))
        at += EVENT.size + length
    return found


class Arrivals:
    """with Arrivals(folders) as arrivals: ... arrivals.wait(count, 60)"""

    def __init__(self, folders, pause_s=0.002, by_folder=False):
        self.fd = LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd == -1:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        for folder in folders:
            if LIBC.inotify_add_watch(self.fd, os.fsencode(folder),
                                      CREATE | MOVED_TO) == -1:
                raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")
        self.pause_s = pause_s  # several at once cost less
        self.by_folder = by_folder  # each folder counts once
        self.times = {}         # name, or watch -> when it was first seen
        self.overflow = False
        self.more = threading.Condition()
        self.stopped = False
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        os.close(self.fd)

    def watch(self):
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self.stopped:
            if not poll.poll(50):
                continue
            events = parse_events(os.read(self.fd, 1 << 20))
            now = time.monotonic()
            with self.more:
                for watch, mask, name in events:
                    self.overflow |= bool(mask & OVERFLOW)
                    self.times.setdefault(watch if self.by_folder else name, now)
                self.more.notify_all()
            if self.pause_s:
                time.sleep(self.pause_s)

    def wait(self, count, idle_s=120):
        """When the count-th came; it gives up when nothing comes for long."""
        with self.more:
            seen, since = len(self.times), time.monotonic()
            while len(self.times) < count:
                self.more.wait(1)
                if self.overflow:
                    raise RuntimeError("inotify has lost events")
                if len(self.times) > seen:
                    seen, since = len(self.times), time.monotonic()
                elif time.monotonic() - since > idle_s:
                    raise RuntimeError(
                        f"{seen} of {count} arrived, then none for {idle_s} s")
            return sorted(self.times.values())[count - 1]
