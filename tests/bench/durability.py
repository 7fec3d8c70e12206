"""Does each promise in a trace rest on a sync that covers it?

- `250` after DATA: what holds the message (a queue file, or its bytes in a
  segment of the log) was written, given its name, and then synced with
  success before the answer began.
- a worker's success, qmail-send's `D`, and the removal of a queue file: the
  Maildir file was written and synced, and its name as well. Where the file
  system promises it (journal), one sync of the file after it was named covers
  both; elsewhere (posix) the folder is synced after the name was given.
- `M` in the log: the message is a file by then, synced as for a `250`.

Messages are followed by their Message-Id, which smtp-source makes unique.
Files are followed by the names that they are given, so a descriptor that was
passed on is the same file. What writes in a way that is not seen here
(io_uring, a map) fails, it does not pass.
"""

import os
import re

import calls as syscalls

WRITES = {"write", "pwrite64", "writev", "pwritev", "pwritev2"}
READS = {"read", "recvfrom", "recvmsg", "readv", "recv"}
SENDS = {"write", "writev", "sendto", "sendmsg", "send"}
SYNCS = {"fsync", "fdatasync"}
OPENS = {"open", "openat", "openat2", "creat"}
NAMES = {"rename", "renameat", "renameat2", "link", "linkat"}
REMOVALS = {"unlink", "unlinkat"}

TOKEN = re.compile(r"Message-Id: <([^>]+)>")
LOG = re.compile(r"/queue/log/\d+$")
UNFINISHED = re.compile(r"/pid/\d+/\d+$|/tmp/[^/]+$|\.new$")
MARK = re.compile(r', "([DM])", 1, (\d+)$')


class File:
    def __init__(self, path, begin):
        self.names = [(begin, path)]  # when each was given; newest last
        self.writes = []   # (begin, end)
        self.syncs = []    # (begin, end), successful ones
        self.tokens = {}   # Message-Id -> (begin, end) of its last write
        self.ranges = []   # (offset, behind it, Message-Id), newest last

    @property
    def path(self):
        return self.names[-1][1]

    def names_before(self, line):
        """Those that count, (when given, name): not in pid/ or tmp/."""
        return [(given, path) for given, path in self.names
                if given < line and not UNFINISHED.search(path)]

    def synced(self, after, before):
        return any(after < begin and end < before for begin, end in self.syncs)

    def token_at(self, offset):
        for start, end, token in reversed(self.ranges):
            if start <= offset < end:
                return token
        return None


class Story:
    """What a trace says of files, in the order of its lines."""

    def __init__(self, calls, cwds=None):
        self.cwds = dict(cwds or {})
        self.files = {}      # every name that was ever seen -> File
        self.gone = set()
        self.coming = {}     # new name -> (begin, old name)
        self.answers = {}    # token -> when its 250 begins
        self.workers = {}    # File -> when its worker answers
        self.marks = []      # (begin, "D", "M" or "removed", token, File)
        self.reading = {}    # (pid, socket) -> token in work
        self.naming = {}     # pid -> File that it has just named
        self.renames(calls)
        for call in calls:
            if call.ok:
                self.take(call)

    def renames(self, calls):
        for call in calls:
            if call.ok and call.name in NAMES:
                found = syscalls.paths(call.args, self.cwds.get(call.pid))
                if len(found) == 2:
                    self.coming.setdefault(found[1], (call.begin, found[0]))

    def file(self, path, at):
        path = path.removesuffix(" (deleted)")
        if path not in self.files:
            begin, old = self.coming.get(path, (at + 1, None))
            # Renamed already, though its caller has not been seen to return.
            if begin <= at and old in self.files:
                return self.files[old]
            self.files[path] = File(path, -1)
        return self.files[path]

    def take(self, call):
        first = syscalls.first_descriptor(call.args)
        name = call.name
        if name in OPENS:
            self.take_open(call)
        elif name in NAMES:
            self.take_name(call)
        elif name in REMOVALS:
            self.take_removal(call)
        elif name in ("chdir", "fchdir"):
            where = [first[1]] if first else syscalls.paths(
                call.args, self.cwds.get(call.pid))
            self.cwds[call.pid] = where[0] if where else None
        elif name in syscalls.FORKS and call.value:
            self.cwds.setdefault(call.value, self.cwds.get(call.pid))
        elif first and first[1].startswith("/"):
            if name in SYNCS:
                self.file(first[1], call.begin).syncs.append((call.begin, call.end))
            elif name in WRITES:
                self.take_write(call, self.file(first[1], call.begin))
        elif first:
            self.take_socket(call, first)

    def take_open(self, call):
        found = syscalls.first_descriptor(call.result)
        if not found or "O_CREAT" not in call.args:
            return
        path = found[1]
        if path in self.gone or path not in self.files or "O_EXCL" in call.args:
            self.files[path] = File(path, call.end)
            self.gone.discard(path)

    def take_name(self, call):
        found = syscalls.paths(call.args, self.cwds.get(call.pid))
        if len(found) != 2:
            return
        file = self.file(found[0], call.begin)
        file.names.append((call.end, found[1]))
        self.files[found[1]] = file
        self.gone.discard(found[1])
        self.naming[call.pid] = file

    def take_removal(self, call):
        for path in syscalls.paths(call.args, self.cwds.get(call.pid)):
            self.gone.add(path)
            file = self.files.get(path)
            if file and file.path == path:
                for token in file.tokens:
                    self.marks.append((call.begin, "removed", token, file))

    def take_write(self, call, file):
        file.writes.append((call.begin, call.end))
        mark = MARK.search(call.args)
        if mark:
            token = (file.token_at(int(mark[2])) if LOG.search(file.path)
                     else next(iter(file.tokens), None))
            if token:
                self.marks.append((call.begin, mark[1], token, file))
            return
        found = TOKEN.findall(call.args)
        for token in found:
            file.tokens[token] = (call.begin, call.end)
        offset = re.search(r", (\d+)$", call.args)
        if len(found) == 1 and offset and call.name.startswith("pwrite"):
            start = int(offset[1])
            file.ranges.append((start, start + call.value, found[0]))

    def take_socket(self, call, first):
        key = (call.pid, first[1])  # it may have two descriptors
        if call.name in READS and first[1].startswith("TCP"):
            token = TOKEN.search(call.args)
            if token:
                self.reading[key] = token[1]
        elif call.name in SENDS and first[1].startswith("TCP"):
            token = self.reading.pop(key, None)
            text = syscalls.STRING.search(call.args)
            if token and text and text[1].startswith("2"):
                self.answers[token] = call.begin
        elif call.name in SENDS and first[1].startswith("UNIX"):
            file = self.naming.pop(call.pid, None)
            if file:
                self.workers[file] = call.begin


# ---- judging it ----

def is_in(path, folder):
    return path.startswith(os.path.join(folder, ""))


def whole(file, token, before):
    """When the last byte of this message was written, or None."""
    if LOG.search(file.path):
        begin, end = file.tokens[token]
        return end if begin < before else None
    ends = [end for begin, end in file.writes if begin < before]
    return max(ends) if ends else None


def lacks(story, file, token, before, mode):
    """What is not durable of a message before a line; None: it is."""
    written = whole(file, token, before)
    if written is None:
        return "nothing was written"
    if LOG.search(file.path):
        return None if file.synced(written, before) else "not synced"
    if not file.synced(written, before):
        return "not synced after its last write"
    # A name that was durable once may have been replaced since: by one step.
    for named, path in file.names_before(before):
        if mode == "journal" and file.synced(max(written, named), before):
            return None
        folder = story.files.get(os.path.dirname(path))
        if folder and folder.synced(named, before):
            return None
    return "its name is not synced"


def holders(story, token, folder, before):
    """Files that hold this message below a folder, by a name that counts."""
    return [file for file in dict.fromkeys(story.files.values())
            if token in file.tokens and any(
                is_in(path, folder) for _, path in file.names_before(before))]


def best(story, files, token, before, mode):
    """None if one of these files holds it durably, else what they lack."""
    lacking = [lacks(story, file, token, before, mode) for file in files]
    if not files:
        return "no file holds it"
    return None if None in lacking else "; ".join(lacking)


def check_answers(story, queue, mode):
    """(how many were looked at, what was wrong)."""
    wrong = []
    for token, begin in story.answers.items():
        fault = best(story, holders(story, token, queue, begin), token, begin,
                     mode)
        if fault:
            wrong.append(f"250 for {token}: {fault}")
    return len(story.answers), wrong


def check_deliveries(story, queue, mail, queue_mode, mail_mode):
    wrong, looked = [], 0
    for file, begin in story.workers.items():
        if not is_in(file.path, mail):
            continue
        for token in file.tokens:
            looked += 1
            fault = lacks(story, file, token, begin, mail_mode)
            if fault:
                wrong.append(f"success for {token}: {fault}")
    for begin, what, token, file in story.marks:
        if not is_in(file.path, queue) or UNFINISHED.search(file.path):
            continue
        looked += 1
        if what == "M":
            fault = best(story, [f for f in holders(story, token, queue, begin)
                                 if f is not file], token, begin, queue_mode)
        else:
            fault = best(story, holders(story, token, mail, begin), token, begin,
                         mail_mode)
        if fault:
            wrong.append(f"{what} of {token}: {fault}")
    return looked, wrong
