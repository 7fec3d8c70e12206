"""tcprules and Debian's on random rule files: the same cdb, byte for byte, of
which both checkers say the same to whoever asks; and the same complaints."""

import os
import random
import re
import subprocess

import pytest

from daemontools import DEBIAN
from seeds import few, many

NAMES = ["h.example", "a.b.example", "example", "x", "very-long-name.sub.domain.test"]
USERS = ["joe", "bill", "a-b", "x.y"]


def number(rng):
    return str(rng.choice([0, 1, 2, 3, 9, 10, 127, 255]))


def ip(rng):
    return ".".join(number(rng) for _ in range(4))


def prefix(rng):
    return "".join(f"{number(rng)}." for _ in range(rng.randrange(1, 4)))


def span(rng):
    return f"{rng.randrange(12)}-{rng.randrange(12)}"


def address(rng):
    """What may stand before the colon, in the language of both."""
    return rng.choice([
        lambda: ip(rng), lambda: ip(rng), lambda: prefix(rng), lambda: prefix(rng), lambda: "",
        lambda: f"{number(rng)}.{number(rng)}.{number(rng)}.{span(rng)}",
        lambda: f"{number(rng)}.{span(rng)}.", lambda: f"{span(rng)}.",
        lambda: f"{number(rng)}.{span(rng)}.{number(rng)}",
        lambda: "=", lambda: f"={rng.choice(NAMES)}", lambda: f"=.{rng.choice(NAMES)}",
        lambda: f"{rng.choice(USERS)}@{ip(rng)}",
        lambda: f"{rng.choice(USERS)}@={rng.choice(NAMES)}",
    ])()


def instructions(rng):
    text = rng.choice(["allow", "allow", "deny"])
    for _ in range(rng.choice([0, 0, 1, 2, 5])):
        value = "".join(rng.choice("ab =:,\t'\\@%\x01\x7f") for _ in range(rng.randrange(9)))
        quote = rng.choice('"/|#')
        text += f",{rng.choice(['RELAYCLIENT', 'X', 'A1', 'TCPREMOTEHOST'])}={quote}{value}{quote}"
    return text


def bad_line(rng):
    """A line that nobody can parse, or one with a byte changed."""
    line = f"{address(rng)}:{instructions(rng)}"
    at = rng.randrange(len(line))
    return rng.choice([
        f"{ip(rng)}:first", f"{ip(rng)}:allowX", ":allow,", ":deny,A", ':allow,A="x', "x-y:deny",
        "1.2.3.4-5-6:deny", "-:deny", ":", line[:at] + rng.choice('-:x,"=') + line[at + 1:],
    ])


def rules(rng):
    lines = []
    for _ in range(rng.randrange(30)):
        lines.append(rng.choice([f"{address(rng)}:{instructions(rng)}"] * 12 +
                                ["", "# a comment: not a rule", "#", " ", "no colon"]))
    if rng.random() < 0.3:
        lines.insert(rng.randrange(len(lines) + 1), bad_line(rng))
    text = "\n".join(lines)
    return text if rng.random() < 0.2 else text + "\n"


def asker(rng, text):
    """Somebody near the rules' own addresses."""
    ips = re.findall(r"\d+\.\d+\.\d+\.\d+", text) or ["1.2.3.4"]
    peer = {"TCPREMOTEIP": rng.choice([rng.choice(ips), ip(rng)])}
    if rng.random() < 0.4:
        peer["TCPREMOTEHOST"] = rng.choice(["", "c.", "d.c."]) + rng.choice(NAMES)
    if rng.random() < 0.3:
        peer["TCPREMOTEINFO"] = rng.choice(USERS)
    return peer


def complaint(done):
    """Ours also warns of lines that it ignores."""
    return done.returncode, re.sub(rb"^tcprules: warning: .*\n", b"", done.stderr, flags=re.M)


def compiled(folder, text, cdb):
    return subprocess.run([folder / "tcprules", cdb, f"{cdb}.tmp"], input=text.encode(),
                          capture_output=True)


def said(folder, cdb, peer):
    """What a checker says, to one who is described by nothing else."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("TCP")}
    done = subprocess.run([folder / "tcprulescheck", cdb], env={**env, **peer},
                          capture_output=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize("seed", few(40) + many(5000))
def test_random_rules_compile_to_the_same_file_or_complaint(bin, tmp_path, seed):
    rng = random.Random(seed)
    text = rules(rng)
    print(text)
    folders = bin, DEBIAN
    cdbs = [tmp_path / "ours.cdb", tmp_path / "theirs.cdb"]
    done = [compiled(folder, text, cdb) for folder, cdb in zip(folders, cdbs)]
    assert complaint(done[0]) == complaint(done[1])
    if done[0].returncode:
        assert not any(cdb.exists() for cdb in cdbs)
        return
    assert cdbs[0].read_bytes() == cdbs[1].read_bytes()
    for _ in range(6):
        peer = asker(rng, text)
        # Each is asked about the file of the other.
        assert said(bin, cdbs[1], peer) == said(DEBIAN, cdbs[0], peer), peer


@pytest.mark.parametrize("seed", few(10) + many(500))
def test_networks_of_ours_mean_the_same_to_both_checkers(bin, tmp_path, seed):
    """CIDR is our addition; the file is for every program that reads one."""
    rng = random.Random(seed)
    lines, nets = [], []
    for n in range(rng.randrange(1, 8)):
        length = rng.choice([8, 9, 15, 16, 17, 23, 24, 25, 29, 31, 32])
        value = rng.randrange(1 << 8) << 24 | rng.randrange(1 << 24)
        value = value >> (32 - length) << (32 - length)
        nets.append((value, length))
        dotted = ".".join(str(value >> s & 255) for s in (24, 16, 8, 0))
        lines.append(f'{dotted}/{length}:allow,N="{n}"\n')
    cdb = tmp_path / "cdb"
    done = compiled(bin, "".join(lines), cdb)
    assert done.returncode == 0, done.stderr
    for _ in range(8):
        base, length = rng.choice(nets)
        value = base ^ rng.randrange(1 << rng.randrange(1, 33))
        around = [(-l, n) for n, (b, l) in enumerate(nets) if value >> (32 - l) == b >> (32 - l)]
        peer = {"TCPREMOTEIP": ".".join(str(value >> s & 255) for s in (24, 16, 8, 0))}
        answers = {said(folder, cdb, peer) for folder in (bin, DEBIAN)}
        assert len(answers) == 1
        # The longest network counts, of equal ones the first.
        want = f"N={min(around)[1]}\n".encode() if around else b"default:\n"
        assert want in answers.pop()[1], (lines, peer)
