"""The two that are compared, each with its processes accounted for."""

import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
sys.path.insert(0, str(ROOT / "tests/bench"))

from account import Account  # noqa: E402
from house import DOMAIN, PASSWORD, House  # noqa: E402
from postfix import Postfix  # noqa: E402

RELAY = "relay.test"  # mail for it goes to the sink
DEAD = "dead.test"    # mail for anything below it goes nowhere


def box_names(count):
    """Who smtp-source -r sends to: the last one has no number."""
    return ["luis"] + [f"{n}luis" for n in range(2, count + 1)]


class Valija:
    name = "valija"

    def __init__(self, place, boxes, relay_port, dead_port, bin=None):
        self.account = Account(self.name)
        home = pathlib.Path(place) / "valija"
        home.mkdir()
        self.bin = bin or os.environ.get("VALIJA_BIN", ROOT / "build/bin")
        self.house = House(self.bin, place=home)
        self.house.run("vadddomain", DOMAIN, PASSWORD)
        self.boxes = box_names(boxes)
        for box in self.boxes:
            self.house.run("vadduser", f"{box}@{DOMAIN}", PASSWORD)
        self.house.control("smtproutes", f"{RELAY}:[127.0.0.1]:{relay_port}\n"
                           f".{DEAD}:[127.0.0.1]:{dead_port}\n")

    def start(self):
        with self.account:
            self.house.start()
        self.where = f"127.0.0.1:{self.house.smtp_port}"
        self.top = self.house.home

    def mailbox(self, box="luis"):
        return self.house.maildir(box) / "new"

    def sync_mode(self):
        text = (self.house.home / "queue/format").read_text()
        return dict(line.split(" ", 1) for line in text.splitlines())["sync"]

    def waiting(self):
        """How many messages the queue holds."""
        return len(self.house.queue_files("new", "mess"))

    def is_idle(self):
        """Nothing is queued, in files or in the log."""
        done = self.house.run("qmail-qstat").stdout.decode()
        return all(line.endswith(": 0") for line in done.splitlines() if line)

    def close(self):
        try:
            self.house.stop()
        finally:
            self.account.close()

    def remove(self):
        self.house.remove()


class Peer:
    name = "Postfix"

    def __init__(self, place, boxes, relay_port, dead_port):
        self.account = Account(self.name)
        self.boxes = box_names(boxes)
        self.postfix = Postfix(
            pathlib.Path(place) / "postfix", self.boxes,
            {RELAY: relay_port, f".{DEAD}": dead_port})
        self.top = self.postfix.top

    def start(self):
        with self.account:
            self.postfix.start()
        self.where = f"127.0.0.1:{self.postfix.port}"

    def mailbox(self, box="luis"):
        return self.postfix.maildir(box)

    def waiting(self):
        return sum(len(files) for folder in ("incoming", "active", "deferred")
                   for _, _, files in os.walk(self.top / "queue" / folder))

    def is_idle(self):
        return self.waiting() == 0

    def close(self):
        try:
            self.postfix.stop()
        finally:
            self.account.close()

    def remove(self):
        shutil.rmtree(self.top, ignore_errors=True)


def empty(system, boxes):
    """No message in these mailboxes."""
    for box in boxes:
        for entry in os.scandir(system.mailbox(box)):
            os.unlink(entry.path)
