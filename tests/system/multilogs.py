"""multilog beside Debian's: the same lines through the same script, and what
both leave in their directories."""

import os
import random
import re

from daemontools import DEBIAN

LABEL = re.compile(rb"@[0-9a-fA-F]{24}")  # a processor may have made it large
CHUNK = 16384  # what multilog reads at once, and may lose to a kill -9


def packets():
    """A pipe of which each read returns what one write wrote: so that both
    programs see the same pieces."""
    read, write = os.pipe2(os.O_DIRECT)
    return read, write


def pieces(lines):
    """Lines as writes of at most 1000 bytes, what Debian's reads at once."""
    for line in lines:
        for at in range(0, len(line), 1000):
            yield line[at:at + 1000]


def feed(keeper, program, script, lines, cwd):
    cwd.mkdir(exist_ok=True)
    read, write = packets()
    process = keeper.start(program, *script, stdin=read, cwd=cwd)
    os.close(read)
    for piece in pieces(lines):
        os.write(write, piece)
    os.close(write)
    assert process.wait(60) == 0
    return process.errors.read_bytes()


def picture(directory):
    """Everything below, with labels blanked: [(name, mode, content)]."""
    rows = []
    for path in sorted(directory.rglob("*")):
        name = LABEL.sub(b"@", str(path.relative_to(directory)).encode())
        content = b"" if path.is_dir() else LABEL.sub(b"@", path.read_bytes())
        rows.append((name, oct(path.stat().st_mode), content))
    return rows


def compare(keeper, bin, script, lines, name="x"):
    got = []
    for who, program in (("ours", bin), ("debian", DEBIAN)):
        errors = feed(keeper, program / "multilog", script, lines, keeper.dir / f"{name}-{who}")
        got.append((LABEL.sub(b"@", errors), picture(keeper.dir / f"{name}-{who}")))
    assert got[0][0] == got[1][0]
    assert got[0][1] == got[1][1]
    return got[0][1]


def text_lines(count, seed, longest=200):
    rng = random.Random(seed)
    words = [b"fatal", b"warning:", b"status", b"[135]:", b"a*b", b"", b"@", b"\0", b"\xff", b"end"]
    lines = []
    for _ in range(count):
        line = b" ".join(rng.choice(words) for _ in range(rng.randrange(8)))
        if rng.random() < 0.02:
            line += b"x" * rng.randrange(longest)
        lines.append(line.replace(b"\n", b"") + b"\n")
    return lines


def files_of(main):
    """In order: old files by label, then current."""
    return sorted(main.glob("@*")) + [main / "current"]


def all_bytes(main):
    return b"".join(path.read_bytes() for path in files_of(main))
