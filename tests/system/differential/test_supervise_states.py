"""What supervise writes and svstat reads, and svc between: ours and Debian's
in every state, and under random commands."""

import itertools
import os
import random
import re
import time

import pytest

from daemontools import (DEBIAN, keeper, make_service, pid_of, run, status,  # noqa: F401
                         without_death, without_numbers)
from seeds import few, many
from waiting import wait_for

TAI_UNIX = (1 << 62) + 10  # what both add to the seconds of Unix


def packed(ago_s=5, pid=4711, paused=0, want=b"u"):
    seconds = TAI_UNIX + int(time.time()) - ago_s
    return (seconds.to_bytes(8, "big") + bytes(4) + pid.to_bytes(4, "little") +
            bytes([paused]) + want)


@pytest.fixture
def watched(keeper):
    """A service directory whose supervise is this test."""
    service = keeper.dir / "s"
    (service / "supervise").mkdir(parents=True)
    os.mkfifo(service / "supervise/ok")
    reader = os.open(service / "supervise/ok", os.O_RDONLY | os.O_NONBLOCK)
    yield service
    os.close(reader)


def lines_of_both(bin, service):
    """What both svstat say, the seconds apart; exit codes are the same."""
    ours, theirs = (run(folder / "svstat", service) for folder in (bin, DEBIAN))
    assert ours.returncode == theirs.returncode == 0
    assert ours.stderr == theirs.stderr == b""
    return [re.sub(rb" (\d+) seconds", b" N seconds", done.stdout) for done in (ours, theirs)]


@pytest.mark.parametrize("down", [False, True], ids=["normally up", "normally down"])
def test_svstat_says_the_same_of_every_status(watched, bin, down):
    if down:
        (watched / "down").touch()
    pids = [0, 1, 255, 256, 4711, (1 << 32) - 1]
    for pid, paused, want in itertools.product(pids, (0, 1, 7), (b"u", b"d", b"\0", b"x", b"\xff")):
        (watched / "supervise/status").write_bytes(packed(5, pid, paused, want))
        ours, theirs = lines_of_both(bin, watched)
        assert ours == theirs, (pid, paused, want)


@pytest.mark.parametrize("ago_s", [0, 1, 59, 86400, 1 << 31, 1 << 33, -1, -100000])
def test_svstat_counts_the_same_seconds(watched, bin, ago_s):
    (watched / "supervise/status").write_bytes(packed(ago_s))
    ours, theirs = (int(re.search(rb"(\d+) seconds", run(folder / "svstat", watched).stdout)[1])
                    for folder in (bin, DEBIAN))
    assert abs(ours - theirs) <= 1
    assert max(ago_s, 0) <= ours <= max(ago_s, 0) + 5


@pytest.mark.parametrize("size", [*range(19), 19, 20, 100, 5000])
def test_svstat_of_a_status_that_is_too_short_or_long(watched, bin, size):
    """Longer ones are read as far as they mean something."""
    (watched / "supervise/status").write_bytes((packed() + bytes(5000))[:size])
    ours, theirs = lines_of_both(bin, watched)
    if size >= 18:
        assert ours == theirs and b"up (pid 4711)" in ours
    else:
        said = b": unable to read supervise/status: "
        assert said in ours and said in theirs


def test_svstat_of_what_is_no_service(keeper, bin):
    service = keeper.dir / "s"
    answers = []
    for step in (lambda: None, service.mkdir, (service / "supervise").mkdir,
                 lambda: os.mkfifo(service / "supervise/ok"),
                 lambda: (service / "supervise/status").write_bytes(packed()),
                 lambda: (service / "down").symlink_to("nowhere"),
                 lambda: (service / "supervise/ok").unlink()):
        step()
        pair = lines_of_both(bin, service)
        # The system's words for an errno stand at the end.
        ours, theirs = (line.rsplit(b": ", 1)[0] if b"unable" in line else line for line in pair)
        assert ours == theirs
        answers.append(ours)
    assert len(set(answers)) >= 3


# ---- the other's supervise ----

def words(folder, service):
    """svstat's, without what ours adds to the original's."""
    return without_death(without_numbers(run(folder / "svstat", service).stdout.split(b": ", 1)[1]))


class Pair:
    """A service under our supervise and the same one under Debian's, each
    commanded by the svc of the other."""

    def __init__(self, keeper, bin):
        self.bin = bin
        self.services, self.started = [], []
        for who, folder in ("ours", bin), ("debian", DEBIAN):
            self.services.append(make_service(keeper.dir / who, "exec sleep 1000\n", down=True))
            self.started.append(keeper.supervise(folder / "supervise", self.services[-1]))
        self.term_waits = False  # one was sent to a stopped process

    def states(self):
        """Debian's calls what is down paused, if it is told so."""
        return [(up, up and paused, want) for up, paused, want in map(status, self.services)]

    def deadly(self, letter):
        """Does what runs end of this letter?"""
        up, paused, _ = status(self.services[0])
        if letter == "t" and paused:
            self.term_waits = True
        return up and (letter in "kd" or letter == "t" and not paused or
                       letter == "c" and self.term_waits)

    def command(self, letter):
        before, dies = [pid_of(s) for s in self.services], self.deadly(letter)
        rises = letter in "uo" or dies and letter != "d" and status(self.services[0])[2] == b"u"
        for folder, service in zip((DEBIAN, self.bin), self.services):
            assert run(folder / "svc", f"-{letter}", service).returncode == 0
        if dies:
            self.term_waits = False
            for service, pid in zip(self.services, before):
                wait_for(lambda: pid_of(service) != pid, 10, f"an end by {letter}")
        wait_for(lambda: len(set(self.states())) == 1 and (self.states()[0][0] or not rises), 10,
                 lambda: f"the same state: {self.states()}")

    def compare(self):
        said = {words(folder, service) for folder in (self.bin, DEBIAN) for service in self.services}
        assert len(said) == 1, said


@pytest.mark.parametrize("seed", few(2) + many(200))
def test_random_commands_lead_both_to_the_same_states(keeper, bin, seed):
    rng = random.Random(seed)
    pair = Pair(keeper, bin)
    for letter in ["u"] + [rng.choice("udopckt") for _ in range(7)]:
        print(letter, end="")
        pair.command(letter)
        pair.compare()
    for folder, service in zip((DEBIAN, bin), pair.services):
        run(folder / "svc", "-cdx", service)
    for process in pair.started:
        assert process.wait(10) == 0
    pair.compare()
