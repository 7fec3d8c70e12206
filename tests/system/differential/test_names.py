"""Names and users as the network has them, to tcpclient and tcpserver and to
Debian's, and the rules that are about them."""

import subprocess

from daemontools import DEBIAN
from worlds import in_a_world

REASONS = {"Connection refused": "connection refused", "Connection timed out": "timed out"}
JOE = "1 , 2 : USERID : UNIX : %s\r\n"
RULES = """\
joe@127.0.0.7:allow,RULE="joe at the address"
bill@=far.example:allow,RULE="bill at the host"
eve@=far.example:deny
=far.example:allow,RULE="the host"
=.example:allow,RULE="the domain"
=:allow,RULE="any name"
127.0.0.5:allow,RULE="the address"
127.0.0.4:deny
:allow,RULE="none"
"""


def like_theirs(text):
    """The system's words for an errno as djb's."""
    for ours, theirs in REASONS.items():
        text = text.replace(ours, theirs)
    return text


def as_the_original(seen):
    """It sets what is unknown to nothing, and leaves blanks of a user out."""
    if "TCPREMOTEINFO" in seen:
        seen["TCPREMOTEINFO"] = seen["TCPREMOTEINFO"].replace(" ", "")
    return {name: value for name, value in seen.items() if value}


def test_tcpclient_finds_the_names_that_the_original_finds(bin, tmp_path):
    local = ("-i", "127.0.0.8")
    cases = [
        ["", "-vR", *local, "127.0.0.7"], ["", "-vHR", *local, "one.example"],
        ["", "-qRl0", *local, "two.example"], ["", "-RHl0", *local, "mixed.example"],
        ["", "-vRHl0", "no.example"], [JOE % "joe", "-vHl0", *local, "127.0.0.7"],
        [JOE % "joe: x", "-r", *local, "one.example"], [JOE % "a b", "-Hl0", *local, "127.0.0.7"],
        ["1 , 2 : ERROR : NO-USER\r\n", "-vHl0", *local, "127.0.0.7"],
        ["", "-vHl0", *local, "127.0.0.7"], ["nonsense\n", "-Hl0", *local, "127.0.0.7"],
    ]
    seen = [in_a_world(folder, "client", cases, tmp_path) for folder in (bin, DEBIAN)]
    for case, ours, theirs in zip(cases, *seen):
        ours[2] = like_theirs(ours[2])
        known = dict(ours[0])
        ours[0], theirs[0] = as_the_original(ours[0]), as_the_original(theirs[0])
        assert ours == theirs, case
        assert "" not in known.values()
    assert seen[0][0][0] == {"TCPLOCALIP": "127.0.0.8", "TCPREMOTEIP": "127.0.0.7",
                             "TCPLOCALHOST": "near.example", "TCPREMOTEHOST": "far.example"}
    assert seen[0][5][0]["TCPREMOTEINFO"] == "joe"


def test_tcpserver_finds_the_names_and_follows_the_rules_of_the_original(bin, tmp_path):
    cdb = tmp_path / "cdb"
    subprocess.run([bin / "tcprules", cdb, tmp_path / "tmp"], input=RULES.encode(), check=True)
    if tmp_path.stat().st_mode & 0o777 != 0o755:
        tmp_path.chmod(0o755)
    x = ("-x", str(cdb))
    none, far, liar = "127.0.0.5", "127.0.0.7", "127.0.0.6"
    cases = [
        ["", far, "-R", *x], ["", far, "-pR", *x], ["", far, "-PR", *x], ["", far, "-HR", *x],
        ["", far, "-hR", *x], ["", liar, "-R", *x], ["", liar, "-pR", *x], ["", none, "-R", *x],
        ["", "127.0.0.4", "-R", *x], ["", far, "-Rl0"], ["", far, "-RlName"],
        [JOE % "joe", far, *x], [JOE % "joe", far, "-H", *x], [JOE % "joe", far, "-R", *x],
        [JOE % "joe", far, "-r", *x], [JOE % "bill", far, *x], [JOE % "bill", far, "-H", *x],
        [JOE % "eve", far, *x], [JOE % "eve", far, "-H", *x], [JOE % "a b", far],
        ["1 , 2 : ERROR : NO-USER\r\n", far, "-t3", *x], ["nonsense\n", far, *x],
    ]
    seen = [in_a_world(folder, "server", cases, tmp_path) for folder in (bin, DEBIAN)]
    for case, ours, theirs in zip(cases, *seen):
        ours[0], theirs[0] = as_the_original(ours[0]), as_the_original(theirs[0])
        assert ours == theirs, case
    rules = [result[0].get("RULE") for result in seen[0]]
    assert rules[:9] == ["the host", "the host", "the host", "none", "the host", "the domain", "none",
                         "the address", None]
    assert rules[11:19] == ["joe at the address", "joe at the address", "the host",
                            "joe at the address", "bill at the host", "none", None, "none"]
    assert seen[0][17][0] == {} and seen[0][11][2] == 1 and seen[0][13][2] == 0
