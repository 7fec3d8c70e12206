"""Power cuts: a house whose queue and homes lie on disks that are copied at
each of its steps; each copy is then what a machine finds when it comes up.

    powercut.py WORK BIN <runs >results        (JSON, one a line)

It must be root in mount and pid name spaces of its own, so that whatever
happens nothing stays mounted or running; tests/system/test_powercut.py
starts it that way. A run names the kind of disk, whether queue and homes
share it, and what the disk does with what was not synced (POLICIES).
"""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "system"))

from disk import KINDS, Disk, call, copy_sparse  # noqa: E402
from house import DOMAIN, House  # noqa: E402
from processes import alarm_if_heard  # noqa: E402
from stepper import REMOVES, Stepper  # noqa: E402
from waiting import wait_for  # noqa: E402

ME = "mail.example.test"
# What of a house lies on which disk.
QUEUE, HOMES = ("queue",), ("vpopmail", "alias")
# How many copies one power cut may leave. qmail-local finds its earlier file
# when a delivery whose mark was lost is repeated. ana gets a bounce, which
# may be made again, as another message, where the first one's end was lost.
MOST_COPIES = {"ana": 2, "luis": 1, "eva": 1, "box": 1, "later": 1}
ALIASES = ("box", "later")
RUN_S = 120
SETTLE_S = 30

# What a kernel may do with what nobody has synced.
POLICIES = {
    # Nothing reaches the disk unasked. Who must wait longest for a sync:
    "homes-last": ("homes", None),
    "queue-last": ("queue", None),
    # All of one disk is written at once, nothing of the other.
    "eager-queue": ("homes", "queue"),
    "eager-homes": ("queue", "homes"),
    # The directory a name has left is written at once, the one it went to
    # is not: where no journal ties the two together.
    "eager-removals": ("homes", "removals"),
}


def policy_of(name):
    """A policy, or `random-N`: waiting syncs and write-back as dice say."""
    if name.startswith("random-"):
        return None, random.Random(name)
    return POLICIES[name]


class Message:
    """One message of the scenario, and where it must end."""

    def __init__(self, to, lines):
        self.token = uuid.uuid4().hex
        self.to = to
        self.lines = lines

    def body(self, end):
        return b"".join(b"%s line %d%s" % (self.token.encode(), n, end)
                        for n in range(self.lines))

    def text(self):
        return b"X-Oracle: %s\r\nSubject: x\r\n\r\n%s" % (
            self.token.encode(), self.body(b"\r\n"))

    def addresses(self):
        """qmail-local fills the Maildirs of aliases itself."""
        return [f"{user}@{ME if user in ALIASES else DOMAIN}"
                for user in self.to]

    def mailboxes(self):
        """Nobody has no mailbox: that becomes a bounce to ana."""
        return ["ana" if user == "nobody" else user for user in self.to]


class World:
    """A house made once; its queue and homes are copied onto each disk."""

    def __init__(self, work, bin):
        self.work = pathlib.Path(work)
        self.bin = pathlib.Path(bin)
        (self.work / "house").mkdir()
        self.house = House(bin, self.work / "house")
        self.house.add_domain(users=("ana", "luis", "eva"))
        home = self.house.home
        # One shard: then all messages meet in the same directories. That
        # folders need syncs of their own, the programs must find out.
        form = home / "queue/format"
        text = re.sub(r"(?m)^split .*$", "split 1", form.read_text())
        form.write_text(re.sub(r"(?m)^sync .*$", "sync journal", text))
        (home / "alias/.qmail-box").write_text("./box/\n")
        # Deferred while the power is on, so that it becomes a file.
        (home / "alias/.qmail-later").write_text(
            f"|test -e {home}/go || exit 111\n./later/\n")
        owner = (home / "alias").stat()
        for name in ALIASES:
            self.house.run("maildirmake", home / "alias" / name)
            for path in (name, f"{name}/tmp", f"{name}/new", f"{name}/cur",
                         f".qmail-{name}"):
                os.chown(home / "alias" / path, owner.st_uid, owner.st_gid)
        for name in QUEUE + HOMES:
            shutil.move(home / name, self.work / name)
            (home / name).mkdir()

    def install(self, bin):
        """Other builds of some programs; None: those we began with."""
        for program in ("qmail-queued", "qmail-send", "qmail-local",
                        "vdelivermail"):
            target = self.house.home / "bin" / program
            mode = target.stat().st_mode
            source = pathlib.Path(bin or self.bin) / program
            shutil.copy(source, target.with_name(".new"))
            os.chmod(target.with_name(".new"), mode)
            os.replace(target.with_name(".new"), target)


WAITING = {"x86_64": {"7", "47"}, "aarch64": {"73", "212"}}[
    os.uname().machine]  # poll, ppoll; recvmsg


def call_of(pid):
    """The number of the system call that a process is in."""
    try:
        return pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return None


class Names:
    """What POSIX alone promises of names, whatever this kernel does.

    A name is on the disk once its directory has been synced, and may be gone
    as soon as it is removed. Every file system here is kinder than that; the
    others, which posix mode is for, may not be.
    """

    def __init__(self):
        self.fresh = set()
        self.safe = set()
        self.removed = set()

    def remove(self, path):
        self.fresh.discard(path)
        self.safe.discard(path)
        self.removed.add(path)

    def done(self, step):
        if step.failed:
            return
        if step.name in ("rename", "renameat", "renameat2"):
            self.remove(step.paths[0])
            self.fresh.add(step.paths[1])
        elif step.name in ("link", "linkat"):
            self.fresh.add(step.paths[1])
        elif step.name in ("unlink", "unlinkat"):
            self.remove(step.paths[0])
        elif step.name == "fsync":
            synced = {path for path in self.fresh
                      if os.path.dirname(path) == step.paths[0]}
            self.fresh -= synced
            self.safe |= synced

    def keeps(self, queue, id):
        """Is the message in the queue for certain, or done with?"""
        mess = f"{queue}/mess/0/{id}"
        return self.is_done(queue, id) or \
            bool(self.safe & {mess, f"{queue}/new/0/{id}"})

    def is_done(self, queue, id):
        return f"{queue}/mess/0/{id}" in self.removed

    def delivered(self, id):
        """How many names in Maildirs are for certain this message's."""
        return sum(f"I{id}R" in os.path.basename(path) for path in self.safe)


class Point:
    def __init__(self, label, images, accepted):
        self.label = label
        self.images = images
        self.accepted = accepted


class Run:
    def __init__(self, world, spec):
        self.world = world
        self.house = world.house
        self.spec = spec
        self.order, self.eager = policy_of(spec["policy"])
        self.points = []
        self.names = Names()
        self.posix_faults = {}
        self.accepted = {}
        self.lock = threading.Lock()
        self.copies = 0
        self.place = world.work / "run"
        self.place.mkdir()
        names = spec["kind"].split("+")
        count = 2 if spec["layout"] == "two" else 1
        self.disks = [Disk(KINDS[names[min(i, len(names) - 1)]],
                           self.place / f"image{i}", world.work / f"disk{i}")
                      for i in range(count)]
        self.of = {"queue": self.disks[0], "homes": self.disks[-1]}

    # ---- disks ----

    def bind(self):
        for where, names in (("queue", QUEUE), ("homes", HOMES)):
            for name in names:
                self.of[where].bind(name, self.house.home / name)

    def make_disks(self):
        for disk in self.disks:
            disk.make()
        self.bind()
        for name in QUEUE + HOMES:
            call("cp", "-a", f"{self.world.work / name}/.",
                 self.house.home / name)
        for disk in self.disks:
            disk.sync()

    def unmount(self):
        for disk in self.disks:
            disk.unmount()

    # ---- the stepper's questions ----

    def point(self, label):
        images = []
        for disk in self.disks:
            self.copies += 1
            images.append(str(disk.copy(self.place / f"copy{self.copies}")))
        with self.lock:
            accepted = dict(self.accepted)
        self.points.append(Point(str(label), tuple(images), accepted))
        self.check_names(label, accepted)

    def check_names(self, label, accepted):
        """Where syncs of folders are needed, POSIX's promises must do."""
        queue = self.house.home / "queue"
        for message in accepted.values():
            kept = delivered = True
            # A record of the log needs no name.
            if self.of["queue"].kind.sync == "posix" and \
                    not self.spec.get("log"):
                kept = self.names.keeps(queue, message.id)
            if self.of["homes"].kind.sync == "posix" and \
                    self.names.is_done(queue, message.id):
                delivered = self.names.delivered(message.id) >= \
                    len(set(message.to) - {"nobody"})
            if not kept or not delivered:
                self.posix_faults.setdefault(message.token, {
                    "at": str(label),
                    "fault": "LOST where only POSIX's promises hold"})

    def done(self, step):
        self.names.done(step)
        if self.eager == "removals":
            if step.name in REMOVES:
                sync_folder(os.path.dirname(step.paths[0]))
        elif self.eager is not None:
            places = {self.stepper.folder_of(path) for path in step.paths}
            for place in places - {None}:
                if self.eager == place or (
                        isinstance(self.eager, random.Random) and
                        self.eager.random() < 0.1):
                    self.of[place].sync()

    def choose(self, syncs):
        if isinstance(self.eager, random.Random):
            return self.eager.choice(syncs)
        for step in syncs:
            if self.stepper.folder_of(step.paths[0]) != self.order:
                return step
        return syncs[0]

    # ---- the clients ----

    def client(self, messages):
        try:
            for message in messages:
                self.send(message)
        except Exception as error:  # reported by trace()
            self.trouble.append(f"client: {error!r}")

    def send(self, message):
        with self.house.smtp() as smtp:
            smtp.ehlo()
            smtp.mail(f"ana@{DOMAIN}")
            for address in message.addresses():
                smtp.rcpt(address)
            code, text = smtp.data(message.text())
            if code != 250:
                raise RuntimeError(f"{code} {text!r}")
            message.id = int(re.search(rb" qp (\d+)", text).group(1))
            with self.lock:
                self.accepted[message.token] = message
            seen = threading.Event()
            self.stepper.stop_here(f"client: heard {code}", seen)
            if not seen.wait(RUN_S):
                raise RuntimeError("the stepper is not listening")

    # ---- the traced run ----

    def trace(self):
        self.messages = [
            [Message(["luis"], 3), Message(["nobody"], 3)],
            [Message(["luis", "eva", "box"], 3), Message(["box"], 2000)]]
        self.deferred = int(self.spec.get("deferred", False))
        if self.deferred:
            self.messages[0].insert(0, Message(["later"], 3))
        home = self.house.home
        (home / "go").unlink(missing_ok=True)
        self.trouble = []
        folders = {home / name: "queue" for name in QUEUE}
        folders |= {home / name: "homes" for name in HOMES}
        self.stepper = Stepper(folders, self.point, self.done, self.choose)
        self.house.control("queuelog", None if self.spec.get("log") else "0\n")
        try:
            self.house.start()
            self.check_sync_mode()
            if self.spec.get("log"):
                self.wait_for_log()
            for disk in self.disks:
                disk.sync()
                (disk.place / "canary").write_bytes(os.urandom(8192))
            self.drive()
        finally:
            self.power_off()
        self.point("the end")
        if self.trouble:
            raise RuntimeError("; ".join(self.trouble))

    def drive(self):
        threads = [threading.Thread(target=self.client, args=(m,), daemon=True)
                   for m in self.messages]
        skip = set(self.house.pids("multilog") + self.house.pids("svscan") +
                   self.house.pids("supervise"))
        self.stepper.attach(set(self.house.pids()) - skip)
        for thread in threads:
            thread.start()
        self.stepper.run(
            lambda: not any(t.is_alive() for t in threads) and self.deferred
            >= len(self.house.queue_files("new", "mess", "bounce")), RUN_S)

    def check_sync_mode(self):
        """The programs have found out themselves what the disk promises."""
        def heard():
            # qmail-start runs one where the service's own is later.
            log = self.house.log("qmail-queued") + self.house.log("qmail-send")
            return re.search("listening, split 1, (sync [a-z]+)", log)

        said = wait_for(heard, 20, self.house.story).group(1)
        # Nobody may begin work before being traced.
        wait_for(lambda: "status: local" in self.house.log("qmail-send"), 20,
                 self.house.story)
        want = f"sync {self.of['queue'].kind.sync}"
        assert said == want, f"{said}; expected {want}"

    def wait_for_log(self):
        """A segment is prepared: from here on messages are its records."""
        segments = self.house.home / "queue/log"

        def is_prepared():
            return any(path.stat().st_size == 4 << 20
                       for path in segments.iterdir()) and \
                all(call_of(pid) in WAITING
                    for pid in self.house.pids("qmail-queued"))

        wait_for(is_prepared, 20, self.house.story)

    def power_off(self):
        """Everything dies at once, the tracer's own and the others."""
        house = self.house
        for program in ("svscan", "supervise", None):
            for pid in house.pids(program):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.stepper.kill()
        wait_for(lambda: not kill_all(house), 20, "every process to die")
        if house.svscan:
            house.svscan.wait(20)
            house.svscan = None
        for current in house.home.glob("service/*/log/main/current"):
            current.unlink()

    # ---- coming up again ----

    def distinct(self):
        """Points by what the disks held: each needs one recovery only."""
        groups = {}
        for point in self.points:
            groups.setdefault(point.images, []).append(point)
        return list(groups.values())

    def recover(self, group):
        """Faults found after a power cut at any of these points."""
        point = group[-1]  # the most had been promised at the last
        for disk, image in zip(self.disks, point.images):
            found = self.place / f"found{disk.place.name}"
            copy_sparse(image, found)
            if not disk.recover(found):
                self.refused += 1
                self.unmount()
                return []
        self.bind()
        (self.house.home / "go").touch()
        log = self.place / "log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [self.house.home / "bin/qmail-start", "./Maildir/"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={"PATH": os.environ["PATH"]})
        try:
            stuck = self.settle(process)
        finally:
            wait_for(lambda: not kill_all(self.house), 20,
                     "every process to die")
            process.wait(20)
        said = log.read_text(errors="replace")
        faults = self.judge(point.accepted)
        if stuck:
            faults.append(f"{stuck}; log: {said[-1500:]}")
        bad = self.house.queue_files("bad")
        # Without a journal, the name of a file that nobody was told of may
        # be there without its content: that is set aside, as it should.
        if not self.has_journal():
            said = re.sub("alert: .* is damaged; moved to .*", "", said)
        elif bad:
            faults.append(f"set aside as damaged: {bad}")
        faults += [line for line in said.splitlines() if "alert:" in line]
        self.survived = any(self.canary_is_whole(disk) for disk in self.disks)
        self.unmount()
        return faults

    def settle(self, process):
        """Everything is due; None when the queue has become empty."""
        began = time.monotonic()
        asked = began
        while True:
            now = time.monotonic()
            left = self.left()
            ready = self.house.pids("qmail-send") and self.house.pids(
                "qmail-queued")
            if ready and not left:
                return None
            if process.poll() is not None:
                return f"qmail-send ended with {process.returncode}"
            if now > began + self.spec.get("settle_s", SETTLE_S):
                return f"after {now - began:.0f} s still queued: {left}"
            if now > asked:
                asked = now + 0.5
                for pid in self.house.pids("qmail-send"):
                    alarm_if_heard(pid)
            time.sleep(0.01)

    def has_journal(self):
        """Does one fsync tie a file and its name together there?"""
        return self.of["queue"].kind.sync == "journal"

    def left(self):
        """What is still queued."""
        messages = self.house.queue_files("new", "mess")
        if not self.has_journal():
            # A removed name may be back, and lead to somebody else's file.
            # qmail-queued makes files, and qmail-send, of what was in the log.
            ours = {owner(self.house.home / "queue"),
                    owner(self.house.home / "queue/bounce"), None}
            messages = [p for p in messages if owner(p) in ours]
        names = {path.name for path in messages}
        # A report's removal may be undone and that of its message, which
        # came later, not: then it means nothing.
        return messages + [path for path in self.house.queue_files("bounce")
                           if path.name in names or self.has_journal()]

    def canary_is_whole(self, disk):
        try:
            data = (disk.place / "canary").read_bytes()
        except OSError:
            return False
        return len(data) == 8192 and data.count(0) < 4096

    # ---- the oracle ----

    def mailbox(self, user):
        if user not in ALIASES:
            return self.house.messages(user)
        folder = self.house.home / "alias" / user
        return [path.read_bytes() for name in ("new", "cur")
                for path in (folder / name).iterdir()]

    def judge(self, accepted):
        faults = []
        by_token = {m.token: m for lane in self.messages for m in lane}
        found = {}
        for user in MOST_COPIES:
            for raw in self.mailbox(user):
                match = re.search(rb"^X-Oracle: ([0-9a-f]{32})$", raw, re.M)
                message = by_token.get(match.group(1).decode()) \
                    if match else None
                if message is None or not raw.endswith(message.body(b"\n")):
                    faults.append(f"damaged in {user}'s mailbox: "
                                  f"{len(raw)} bytes {raw[:80]!r}")
                    continue
                key = (message.token, user)
                found[key] = found.get(key, 0) + 1
        for token, message in accepted.items():
            for user in message.mailboxes():
                if (token, user) not in found:
                    faults.append(f"LOST: message of {message.lines} lines "
                                  f"for {user}")
        for (token, user), count in found.items():
            self.extra += count - 1
            if count > MOST_COPIES[user]:
                faults.append(f"{count} copies for {user}")
        return faults

    # ---- all of it ----

    def run(self):
        spec = self.spec
        self.extra = 0
        self.refused = 0
        self.survived = False
        began = time.monotonic()
        self.world.install(spec.get("bin"))
        self.make_disks()
        try:
            self.trace()
        finally:
            self.unmount()
        groups = self.distinct()
        chosen = pick(groups, spec.get("limit"))
        faults = []
        canaries = 0
        cuts = 0
        for group in chosen:
            if faults and spec.get("first"):
                break
            cuts += 1
            found = self.recover(group)
            canaries += self.survived
            faults += [{"at": group[-1].label, "fault": f} for f in found]
        faults += self.posix_faults.values()
        return {**spec, "points": len(self.points), "disks": len(groups),
                "recovered": cuts, "accepted": len(self.accepted),
                "extra": self.extra, "canaries": canaries, "faults": faults,
                "refused": self.refused,
                "labels": sorted({short(p.label) for p in self.points}),
                "seconds": round(time.monotonic() - began, 1)}


def short(label):
    """A point without numbers: which call of which program, and where."""
    words = label.split()
    if len(words) < 3 or not label.startswith(("qmail-", "vdelivermail")):
        return label
    folder = re.search(r"/(pid|new|mess|bounce|log|tmp|cur)(/|$)", words[-1])
    return f"{words[0]} {words[1]} {folder.group(1) if folder else '-'}"


def pick(groups, limit):
    """All, or so many of them, spread evenly, the last included."""
    if limit is None or limit >= len(groups):
        return groups
    return [groups[(i + 1) * len(groups) // limit - 1] for i in range(limit)]


def owner(path):
    try:
        return path.stat().st_uid
    except OSError:
        return None


def sync_folder(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def kill_all(house):
    pids = house.pids()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return pids


def main():
    work, bin = sys.argv[1:]
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    world = World(work, bin)
    for line in sys.stdin:
        spec = json.loads(line)
        try:
            run = Run(world, spec)
            result = run.run()
        except Exception as error:
            import traceback
            traceback.print_exc()
            result = {**spec, "error": f"{type(error).__name__}: {error}"}
        results.write(json.dumps(result) + "\n")
        if "error" in result:
            return  # disks may be mounted still: they go with this process
        shutil.rmtree(world.work / "run")


if __name__ == "__main__":
    main()
