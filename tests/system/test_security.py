"""Bug classes of mail programs that want a whole house to show.

doc/security.md lists every class with the tests that name it; the others are
beside the programs they concern.
"""

import os
import re
import socket
import time

import pytest

from house import DOMAIN, PASSWORD, ROOT, House
from waiting import wait_for

HERE = "mail.example.test"  # the house's own domain, whose mail alias gets
FROM = f"ana@{DOMAIN}"
TO = f"luis@{DOMAIN}"
LIST = ROOT / "doc/security.md"

# Every case there is, whether or not it concerns what is built.
CASES = [f"{group}{n}" for group, last in (
    ("SM", 10), ("TL", 5), ("AL", 4), ("IN", 8), ("IM", 8), ("DO", 4), ("AU", 8), ("FP", 5))
    for n in range(1, last + 1)]


# ---- the list ----

def listed():
    """{case: text of its last column}"""
    rows = {}
    for line in LIST.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and re.fullmatch(r"[A-Z]{2}\d+", cells[0]):
            assert cells[0] not in rows, f"{cells[0]} is listed twice"
            rows[cells[0]] = cells[2]
    return rows


def named_tests(text):
    """(file, function) of each test that a cell names."""
    for file, functions in re.findall(r"(test_\w+(?:\.py|\.c)): ((?:`?test_\w+`?(?:, )?)+)",
                                      text.replace("`", "")):
        for function in re.findall(r"test_\w+", functions):
            yield file, function


def source_of(file):
    folder = "unit" if file.endswith(".c") else "system"
    return (ROOT / "tests" / folder / file).read_text()


def around(source, function):
    """A test with the comment above it."""
    match = re.search(rf"(?:^/\*(?:(?!\*/).)*\*/\n)?^(?:static void |def ){function}\(.*?(?=^}}|\n\n\n|\Z)",
                      source, re.M | re.S)
    assert match, f"there is no {function}"
    return match.group(0)


def test_every_case_is_listed():
    assert set(listed()) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_a_test_that_names_it(case):
    text = listed()[case]
    found = list(named_tests(text))
    if not found:
        assert text.startswith("not built"), f"{case} has no test"
        return
    named = False
    for file, function in found:
        whole = around(source_of(file), function)
        low, high = re.match(r"([A-Z]+)(\d+)", case).groups()
        spans = re.findall(rf"\b{low}(\d+)(?:(?:-|–| to ){low}?(\d+))?\b", whole, re.I) + \
            re.findall(rf"_{low.lower()}(\d+)(?:_to_{low.lower()}(\d+))?", whole)
        named |= any(int(a) <= int(high) <= int(b or a) for a, b in spans)
    assert named, f"none of {found} says {case}"


# ---- injection ----

@pytest.fixture
def rule(running):
    """Write a .qmail file of alias: mail for NAME@HERE goes there."""
    made = []

    def write(name, text):
        path = running.home / "alias" / f".qmail-{name}"
        path.write_text(text)
        path.chmod(0o644)
        made.append(path)
    yield write
    for path in made:
        path.unlink(missing_ok=True)


@pytest.fixture
def open_folder(running):
    """Where programs of every uid may write."""
    path = running.home / f"open.{time.monotonic_ns()}"
    path.mkdir()
    path.chmod(0o777)
    return path


def say(house, *lines):
    """Send raw command lines one by one; the replies' last lines."""
    replies = []
    with socket.create_connection(("127.0.0.1", house.smtp_port), 30) as sock:
        file = sock.makefile("rb")
        file.readline()
        for line in lines:
            sock.sendall(line + b"\r\n")
            while (reply := file.readline())[3:4] == b"-":
                pass
            replies.append(reply)
    return replies


def test_in1_no_shell_sees_an_address(running, rule, open_folder):
    """IN1, from SMTP to a program: quoted or not, `;id>p;` starts nothing."""
    rule("in1-default", f"|printf '%s' \"$SENDER\" >{open_folder}/$$.sender\n"
         f"|printf '%s' \"$EXT\" >{open_folder}/$$.ext\n")
    attempts = [b";id>%s/p;" % bytes(open_folder), b"`id>%s/p`" % bytes(open_folder),
                b"$(id>%s/p)" % bytes(open_folder), b"|id>%s/p" % bytes(open_folder)]
    taken = 0
    for text in attempts:
        for form in (b"<%s>", b'<"%s">', b'<"%s"@x.test>', b"<%s@x.test>"):
            sender = form % text
            to = b"<in1-%s@%s>" % (text.replace(b"/", b"\\/"), HERE.encode())
            for rcpt in (to, to.replace(b"<in1", b'<"in1').replace(b"@mail", b'"@mail')):
                codes = say(running, b"EHLO x", b"MAIL FROM:" + sender, b"RCPT TO:" + rcpt,
                            b"DATA", b"Subject: x\r\n\r\nx\r\n.")
                taken += codes[-1].startswith(b"250")
    running.wait_queue_empty()
    assert taken, "all were refused: this shows nothing"
    assert len(list(open_folder.glob("*.ext"))) == taken
    assert not (open_folder / "p").exists()


def test_in2_no_variable_is_a_shell_function(running, rule, open_folder):
    """IN2 (Shellshock), from SMTP to the environment of a |program."""
    rule("in2-default", f"|env >{open_folder}/env\n")
    evil = "() { :;}; touch %s/p" % open_folder
    codes = say(running, b'EHLO x', b'MAIL FROM:<"%s"@x.test>' % evil.encode(),
                b'RCPT TO:<"in2-%s"@%s>' % (evil.encode(), HERE.encode()),
                b"DATA", b"Subject: x\r\n\r\nx\r\n.")
    assert codes[-1].startswith(b"250")
    env = wait_for(lambda: (t := open_folder / "env").exists() and t.read_text(), 30,
                   running.story)
    running.wait_queue_empty()
    assert "touch" in env
    assert not re.search(r"^\w+=\(\)", env, re.M)
    assert not (open_folder / "p").exists()


def test_in8_log_in_names_cannot_change_the_protocol(running):
    """IN8: NUL, tab, LF and more in what goes to the password checker."""
    for user in (b"ana@%b\0" % DOMAIN.encode(), b"ana@%b\0%b\0" % (
            DOMAIN.encode(), PASSWORD.encode()), b"ana\t@" + DOMAIN.encode(),
            b"ana@" + DOMAIN.encode() + b"\r", b"\xff\xfe@" + DOMAIN.encode(),
            b"../ana@" + DOMAIN.encode(), b"a" * 300 + b"@" + DOMAIN.encode()):
        with socket.create_connection(("127.0.0.1", running.pop3_port), 30) as sock:
            file = sock.makefile("rb")
            file.readline()
            sock.sendall(b"USER %b\r\n" % user)
            first = file.readline()
            sock.sendall(b"PASS %b\r\n" % PASSWORD.encode())
            assert file.readline().startswith(b"-ERR"), user
            assert first[:4] in (b"-ERR", b"+OK ", b"+OK\r"), user


# ---- memory and numbers ----

def huge_line_mib(request):
    return 1024 if request.config.getoption("--soak") else 96


@pytest.mark.skipif("build-san" in os.environ.get("VALIJA_BIN", ""),
                    reason="sanitizers want address space")
def test_im3_a_header_line_without_end_needs_no_memory(bin, request):
    """IM3: through every program to the Maildir, each under softlimit's -a of 48 MiB."""
    mib = huge_line_mib(request)
    house = House(bin)
    try:
        for run in [*house.home.glob("service/*/run"), *house.home.glob("service/*/log/run")]:
            text = run.read_text()
            run.write_text(text.replace("#!/bin/sh\n", "#!/bin/sh\nulimit -v 49152\n", 1))
        house.add_domain()
        house.start()
        with socket.create_connection(("127.0.0.1", house.smtp_port), 120) as sock:
            file = sock.makefile("rb")
            file.readline()
            for line in (b"HELO x", b"MAIL FROM:<%b>" % FROM.encode(),
                         b"RCPT TO:<%b>" % TO.encode(), b"DATA"):
                sock.sendall(line + b"\r\n")
                assert file.readline()[:1] in b"23"
            sock.sendall(b"X-Long: ")
            for _ in range(mib):
                sock.sendall(b"x" * (1 << 20))
            sock.sendall(b"\r\nSubject: x\r\n\r\nend\r\n.\r\n")
            assert file.readline().startswith(b"250")
        files = wait_for(lambda: list((house.maildir() / "new").iterdir()), 300, house.story)
        assert files[0].stat().st_size > mib << 20
        with socket.create_connection(("127.0.0.1", house.pop3_port), 120) as sock:
            sock.sendall(b"USER %b\r\nPASS %b\r\nRETR 1\r\nQUIT\r\n" % (
                TO.encode(), PASSWORD.encode()))
            got, tail = 0, b""
            while part := sock.recv(1 << 20):
                got += len(part)
                tail = (tail + part)[-100:]
        assert got > mib << 20 and b"\r\nend\r\n.\r\n+OK" in tail
    finally:
        house.stop()
        house.remove()


@pytest.mark.parametrize("size", [
    b"99999999999999999999", b"18446744073709551615", b"18446744073709551616", b"-1", b"+1",
    b"0x10", b"1e3", b" 1", b""], ids=repr)
def test_im4_sizes_do_not_wrap(running, size):
    """IM4: SIZE= beyond 64 bits, negative or no number is refused or true."""
    _, mail = say(running, b"EHLO x", b"MAIL FROM:<a@b.test> SIZE=" + size)
    if size.isdigit() and len(size) <= 20:
        assert mail[:3] in (b"552", b"501", b"452", b"250"), mail
    else:
        assert mail[:3] in (b"501", b"555", b"553"), mail


# ---- exhaustion ----

def test_do4_addresses_that_lead_to_each_other_end(running, rule):
    """DO4: the second visit of a message bounces, and nothing goes round."""
    rule("do4a", f"&do4b@{HERE}\n")
    rule("do4b", f"&do4a@{HERE}\n")
    before = len(running.messages("ana"))
    running.send(b"Subject: loop\r\n\r\nx\r\n", to=[f"do4a@{HERE}"])
    messages = running.wait_messages(before + 1, user="ana")
    running.wait_queue_empty()
    assert b"looping" in messages[-1]
    assert running.log().count("do4a@") < 20


# ---- log-in ----

def refusal(house, user, password):
    with socket.create_connection(("127.0.0.1", house.pop3_port), 30) as sock:
        file = sock.makefile("rb")
        file.readline()
        sock.sendall(b"USER %b\r\nPASS %b\r\n" % (user.encode(), password.encode()))
        return file.readline() + file.readline() + file.read()


def test_au1_all_refusals_read_the_same(running):
    """AU1: unknown user, unknown domain, wrong password, a name that is none."""
    texts = {refusal(running, user, "wrong") for user in (
        f"ana@{DOMAIN}", f"nobody@{DOMAIN}", "ana@nowhere.test", "..@x", "ana")}
    assert len(texts) == 1 and b"-ERR" in texts.pop()


def test_au4_secrets_are_compared_in_constant_time():
    """AU4: one function compares them, and looks at every byte."""
    source = (ROOT / "lib/password.c").read_text()
    body = re.search(r"^bool password_same\(.*?^}", source, re.M | re.S).group(0)
    assert "|=" in body and not re.search(r"memcmp|strcmp|view_eq|break|continue", body)
    for path in [ROOT / "lib/password.c", *(ROOT / "auth").glob("*.c"),
                 *(ROOT / "popd").glob("*.c")]:
        for call in re.findall(r"(?:memcmp|strcmp|view_eq)\([^;]*;", path.read_text()):
            assert not re.search(r"passw|crypt|hash|digest|secret|clear|challenge", call), (
                path, call)


def test_au5_a_changed_password_counts_at_the_next_log_in(running):
    """AU5: at once; an open session goes on, as in doc/security.md."""
    running.run("vadduser", f"au5@{DOMAIN}", PASSWORD)
    session = running.pop3("au5")
    running.run("vpasswd", f"au5@{DOMAIN}", "another-password")
    assert b"-ERR" in refusal(running, f"au5@{DOMAIN}", PASSWORD)
    assert session.stat() == (0, 0)
    session.quit()
    running.run("vdeluser", f"au5@{DOMAIN}")
    assert b"-ERR" in refusal(running, f"au5@{DOMAIN}", "another-password")


# ---- files ----

def test_fp2_an_extension_never_leaves_the_home(running, rule, open_folder):
    """FP2: dots become colons, so `../` names nothing above."""
    outside = open_folder / ".qmail-stolen"
    outside.write_text(f"|touch {open_folder}/p\n")
    (running.home / "alias/.qmail-fp2-:").mkdir(exist_ok=True)  # were `..` taken away
    up = f"fp2-../../{open_folder.name}/.qmail-stolen"
    for ext in (up, up.replace("..", "%2e%2e"), "fp2-../../../../../etc/passwd",
                f"fp2-/{open_folder}/.qmail-stolen"):
        codes = say(running, b"EHLO x", b"MAIL FROM:<>",
                    b'RCPT TO:<"%b"@%b>' % (ext.encode(), HERE.encode()),
                    b"DATA", b"Subject: x\r\n\r\nx\r\n.")
        assert codes[-1][:1] in b"25"
    running.wait_queue_empty()
    assert not (open_folder / "p").exists()
    (running.home / "alias/.qmail-fp2-:").rmdir()
