"""multilog and Debian's: random lines through random scripts, and killed at
random moments."""

import os
import random
import re
import signal
import threading
import time

import pytest

from daemontools import DEBIAN, keeper, run  # noqa: F401
from multilogs import CHUNK, compare, files_of, text_lines
from seeds import few, many
from waiting import wait_for

PIECES = [b"*", b"*", b"fatal", b"warning:", b" ", b"status", b"[", b"]", b"a", b"b", b":", b"@",
          b"end", b"x", b"?", b".", b"\\"]


def pattern(rng, labels):
    """A star does not go past the byte behind it: one that ended within a
    label would match by the time. Behind the label's space all is the same."""
    text = b"".join(rng.choice(PIECES) for _ in range(rng.randrange(5))).decode()
    return f"* {text}" if labels else text


def action(rng, index, labels):
    """One argument of a script; index makes its files its own."""
    return rng.choice([
        lambda: "-" + pattern(rng, labels), lambda: "-*",
        lambda: "+" + pattern(rng, labels), lambda: "+*",
        lambda: "e", lambda: f"=status{index}",
        lambda: f"s{rng.choice([0, 1, 4095, 4096, 4097, 5000, 9999, 99999999999])}",
        lambda: f"n{rng.choice([0, 1, 2, 3, 7])}",
        lambda: "!tr a-z A-Z", lambda: "!cat", lambda: "!grep -v fatal; :",
        lambda: "!n=$(cat <&4); echo $((n+1)) >&5; cat; echo $n",
        lambda: f"./d{index}", lambda: f"./d{index}", lambda: f"./dir{index}/",
    ])()


def a_script(rng):
    labels = ["t"] if rng.random() < 0.5 else []
    actions = [action(rng, index, labels) for index in range(rng.randrange(1, 9))]
    return [*labels, *actions, "./last"]


@pytest.mark.parametrize("seed", few(16) + many(2000))
def test_random_scripts_leave_the_same_directories(keeper, bin, seed):
    rng = random.Random(seed)
    script = a_script(rng)
    print("multilog", script)
    compare(keeper, bin, script, text_lines(rng.randrange(600), seed, longest=9000))


# ---- kills ----

def numbered(rng, count):
    """Lines that are not another's beginning or end."""
    words = ["fatal", "warning:", "status", "x" * 100, ""]
    return [b"<%d %s %d>\n" % (n, rng.choice(words).encode(), n) for n in range(count)]


def a_script_of_logs(rng):
    """Only what keeps all that it selects."""
    script = ["t"] if rng.random() < 0.5 else []
    for index in range(rng.randrange(1, 4)):
        script += rng.choice([[], ["-*"], ["+*"], ["-*<* fatal *"], ["-*", "+*status*"],
                              ["-*<*3>"]])
        script += [rng.choice(["s4096", "s20000", "s16777215"]), "n100000",
                   *rng.choice([["!cat"], [], []]), f"./d{index}"]
    return script


def without_labels(text):
    """The whole lines of a log; what a kill has cut into pieces is none."""
    found = []
    for line in text.split(b"\n")[:-1]:
        match = re.fullmatch(rb"(?:@[0-9a-f]{24} )?(<(\d+) [^<>]* (\d+)>)", line)
        if match and match[2] == match[3]:
            found.append(match[1])
    return found


def files_once(main):
    """In their order. The original gives a file its label by link and unlink:
    killed between the two it leaves one file with two names."""
    seen = set()
    for path in files_of(main):
        if path.exists() and path.stat().st_ino not in seen:
            seen.add(path.stat().st_ino)
            yield path


def logs_of(place):
    """{directory: lines, oldest first}. Each file ends a line for us."""
    return {main.name: [line for path in files_once(main)
                        for line in without_labels(path.read_bytes())]
            for main in sorted(place.glob("d*"))}


class Feeder(threading.Thread):
    """Writes pieces of random sizes, and stops when it is told to."""

    def __init__(self, lines, rng):
        super().__init__()
        self.text = b"".join(lines)
        self.rng = random.Random(rng.random())
        self.read, self.write = os.pipe()
        self.start()

    def run(self):
        at = 0
        while at < len(self.text):
            size = self.rng.choice([1, 100, 1000, 4096, 30000])
            os.write(self.write, self.text[at:at + size])
            at += size
        os.close(self.write)

    def close(self):
        os.close(self.read)
        self.join()


def killed_at_random(keeper, bin, script, place, feeder, rng):
    """Ours and Debian's in turn on the same logs; how often one was killed."""
    place.mkdir()
    kills = 0
    for _ in range(rng.randrange(3, 10)):
        program = rng.choice([bin, bin, DEBIAN])
        process = keeper.start(program / "multilog", *script, stdin=feeder.read, cwd=place)
        time.sleep(rng.random() ** 2 * 0.06)  # the random moment, perhaps before its start
        if rng.random() < 0.3:
            process.send_signal(signal.SIGALRM)
            time.sleep(rng.random() * 0.01)
        number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        process.send_signal(number)
        if number == signal.SIGKILL:
            kills += 1
        process.wait(30)
    last = keeper.start(rng.choice([bin, DEBIAN]) / "multilog", *script, stdin=feeder.read,
                        cwd=place)
    assert last.wait(60) == 0
    return kills


def out_of_order(part, whole):
    """What of part is not in whole behind the line before it, and its files'
    neighbours; None where there is no such line."""
    rest = iter(whole)
    for at, line in enumerate(part):
        if line not in rest:
            return part[max(0, at - 3):at + 2]
    return None


@pytest.mark.parametrize("seed", few(5) + many(1000))
def test_killed_at_random_moments_logs_stay_in_order_and_lose_one_read(keeper, bin, seed):
    """TERM loses nothing; KILL what was read last. Nothing is repeated,
    nothing out of order, whoever of the two carries on. What an undisturbed
    one of Debian's writes is what should be there."""
    rng = random.Random(seed)
    script = a_script_of_logs(rng)
    lines = numbered(rng, rng.randrange(2000, 6000))
    print("multilog", script)
    whole = keeper.dir / "whole"
    whole.mkdir()
    run(DEBIAN / "multilog", *script, cwd=whole, input=b"".join(lines), check=True)
    feeder = Feeder(lines, rng)
    try:
        kills = killed_at_random(keeper, bin, script, keeper.dir / "killed", feeder, rng)
    finally:
        feeder.close()
    want, have = logs_of(whole), logs_of(keeper.dir / "killed")
    for name, all_lines in want.items():
        assert out_of_order(have[name], all_lines) is None, \
            (name, [(p.name, p.stat().st_size) for p in files_of(keeper.dir / "killed" / name)])
        lost = set(all_lines) - set(have[name])
        # A line that a kill has cut is lost as a whole for us.
        assert sum(len(line) + 1 for line in lost) <= kills * (CHUNK + 2 * 250), name
        assert kills or not lost, name
    for main in (keeper.dir / "killed").iterdir():
        wait_for(lambda: {p.name for p in main.iterdir() if p.name[0] != "@"} <=
                 {"current", "lock", "state"}, 10, f"a clean {main.name}")
        assert all(p.stat().st_mode & 0o777 == 0o744 for p in main.glob("@*.s"))
