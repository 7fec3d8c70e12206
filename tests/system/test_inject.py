"""qmail-inject, sendmail and maildirmake through their descriptors."""

import email.utils
import os
import re
import shutil
import stat
import subprocess

import pytest

from recorder import House

@pytest.fixture
def house(bin, tmp_path):
    return House(bin, tmp_path, ["qmail-inject", "sendmail"])


# ---- what is added ----


def test_a_bare_text_becomes_a_message(house):
    got = house.inject("a@b.c", text="hello\n")
    names = [line.split(":")[0] for line in got.lines()]
    assert names == ["Date", "Message-ID", "From", "Cc"]
    assert got["From"] == "joe@me.example.org"
    assert got["Cc"] == "recipient list not shown: ;"
    assert re.fullmatch(r"\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d -0000",
                        got["Date"])
    assert email.utils.parsedate_to_datetime(got["Date"])
    assert re.fullmatch(r"<\d{14}\.\d+\.qmail@me\.example\.org>",
                        got["Message-ID"])
    assert got.body == b"hello\n"
    assert (got.sender, got.recipients) == ("joe@me.example.org", ["a@b.c"])


def test_what_is_there_stays_byte_for_byte(house):
    text = ("Received: x\n\ty\nFROM:   Joe \"Q\" <joe@x.y>  (c)\n"
            "To: a@b.c,\n\t\"d e\"@f.g\nDate: someday\nMessage-Id: <1@2>\n"
            "X-Odd:\xff\udcfe  \nSubject : s\n\nbody \r\n.\nFrom x\n")
    got = house.inject(text=text)
    assert got.raw == text.encode("utf-8", "surrogateescape")
    assert got.recipients == ["a@b.c", "d e@f.g"]


def test_resent_messages_get_resent_fields(house):
    got = house.inject(
        text="Resent-To: r@x.y\nResent-Bcc: s@x.y\nTo: a@b.c\nBcc: q@b.c\n\n")
    names = [line.split(":")[0] for line in got.lines()]
    assert names == ["Resent-Date", "Resent-Message-ID", "Resent-From",
                     "Resent-To", "To"]
    assert got.recipients == ["r@x.y", "s@x.y"]
    got = house.inject("z@x.y", text="Resent-Date: x\n\n")
    assert got["Resent-Cc"] == "recipient list not shown: ;"
    assert got["Cc"] is None and got["From"] is None


def test_bcc_return_path_and_content_length_are_removed(house):
    got = house.inject(text="Bcc: a@b.c,\n d@e.f\nReturn-Path: <x@y.z>\n"
                            "Content-Length: 17\nSubject: s\n\n")
    assert got.recipients == ["a@b.c", "d@e.f"]
    assert got.sender == "x@y.z"
    for name in "Bcc", "Return-Path", "Content-Length":
        assert got[name] is None
    assert got["Cc"] == "recipient list not shown: ;"


@pytest.mark.parametrize("env, style, want", [
    ({}, "", "joe@me.example.org"),
    ({"NAME": "Joe Shmoe"}, "", "Joe Shmoe <joe@me.example.org>"),
    ({"NAME": "J. \"X\" \\ (y)"}, "",
     '"J. \\"X\\" \\\\ (y)" <joe@me.example.org>'),
    ({"NAME": "J. \"X\" \\ (y)"}, "c",
     'joe@me.example.org (J. "X" \\\\ \\(y\\))'),
    ({"NAME": "a\nBcc: x"}, "", '"a Bcc: x" <joe@me.example.org>'),
    ({"NAME": "n", "MAILNAME": "m"}, "", "m <joe@me.example.org>"),
    ({"MAILNAME": "m", "QMAILNAME": "q"}, "", "q <joe@me.example.org>"),
    ({"USER": None, "LOGNAME": "l"}, "", "l@me.example.org"),
    ({"USER": None}, "", "anonymous@me.example.org"),
    ({"MAILUSER": "m"}, "", "m@me.example.org"),
    ({"MAILUSER": "m", "QMAILUSER": "q"}, "", "q@me.example.org"),
    ({"USER": "a b"}, "", '"a b"@me.example.org'),
    ({"MAILHOST": "h.x"}, "", "joe@h.x"),
    ({"MAILHOST": "h.x", "QMAILHOST": "q.x"}, "", "joe@q.x"),
    ({"MAILHOST": "h", "QMAILDEFAULTDOMAIN": "d.x"}, "", "joe@h.d.x"),
])
def test_the_from_field(house, env, style, want):
    got = house.inject("a@b.c", env={**env, "QMAILINJECT": style})
    assert f"From: {want}" in got.lines()
    name, address = email.utils.parseaddr(got["From"])
    assert address.split("@")[1] == got.sender.rsplit("@", 1)[1]


# ---- options and environment ----


TEXT = "To: to@x.y\nCc: cc@x.y\nBcc: bcc@x.y\nApparently-To: app@x.y\n\n"
HEADER = ["to@x.y", "cc@x.y", "bcc@x.y", "app@x.y"]


@pytest.mark.parametrize("options, recipients", [
    (["arg@x.y"], ["arg@x.y"]),
    ([], HEADER),
    (["-A", "arg@x.y"], ["arg@x.y"]),
    (["-a", "arg@x.y"], ["arg@x.y"]),
    (["-h", "arg@x.y"], HEADER),
    (["-H", "arg@x.y"], HEADER + ["arg@x.y"]),
    (["-nN", "--", "-a@x.y"], ["-a@x.y"]),
    (["a b@x.y", "joe"], ["a b@x.y", "joe@me.example.org"]),
])
def test_whose_recipients_count(house, options, recipients):
    assert house.inject(*options, text=TEXT).recipients == recipients


@pytest.mark.parametrize("options, env, return_path, sender", [
    ([], {}, None, "joe@me.example.org"),
    ([], {"QMAILSUSER": "s"}, None, "s@me.example.org"),
    ([], {"QMAILSHOST": "h.x"}, None, "joe@h.x"),
    ([], {}, "<rp@x.y>", "rp@x.y"),
    ([], {}, "<>", ""),
    ([], {}, "rp", "rp@me.example.org"),
    ([], {"QMAILINJECT": "s"}, "<rp@x.y>", "joe@me.example.org"),
    ([], {"QMAILSUSER": "s"}, "<rp@x.y>", "rp@x.y"),
    (["-f", "f@x.y"], {"QMAILSUSER": "s"}, "<rp@x.y>", "f@x.y"),
    (["-ff"], {}, None, "f@me.example.org"),
    (["-f", ""], {}, None, ""),
    ([], {"QMAILINJECT": "r"}, None, "joe-@me.example.org-@[]"),
    (["-f", "f@x.y"], {"QMAILINJECT": "rm"}, None, "f@x.y"),
])
def test_the_envelope_sender(house, options, env, return_path, sender):
    text = f"Return-Path: {return_path}\n\n" if return_path else "\n"
    got = house.inject(*options, "a@b.c", env=env, text=text)
    assert got.sender == sender


def test_per_message_senders_differ(house):
    senders = {house.inject("a@b.c", env={"QMAILINJECT": "mr"}).sender
               for _ in range(3)}
    assert len(senders) == 3
    for sender in senders:
        assert re.fullmatch(r"joe-\d+\.\d+-@me\.example\.org-@\[\]", sender)


def test_letters_delete_fields(house):
    text = "From: x@y.z\nMessage-ID: <1@2>\n\n"
    got = house.inject("a@b.c", text=text, env={"QMAILINJECT": "fi"})
    assert got["From"] == "joe@me.example.org"
    assert got["Message-ID"] != "<1@2>"


def test_n_prints_and_queues_nothing(house):
    done = house.run("qmail-inject", "-n", "a@b.c", text="To: djb\n\nx")
    assert done.stdout.endswith(b"\nTo: djb@me.example.org\n\nx\n")
    assert not (house.path / "message").exists()


# ---- addresses ----


@pytest.mark.parametrize("value, want", [
    ("djb fred", "djb@H, fred@H"),
    ("djb@silverton", "djb@silverton.D"),
    ("eric@mammoth.cs+", "eric@mammoth.cs.P"),
    ("eric@mammoth+", "eric@mammoth.P"),
    ("djb@[128.32.183.163]", "djb@[128.32.183.163]"),
    ("<@a.b,@c.d:e@f.g>", "<e@f.g>"),
    ("random group: g@h.i, i;, k@l.m", "random group: g@h.i, i@H;, k@l.m"),
    ("A <a> B <b>", "A <a@H>, B <b@H>"),
    ("\"a b\"", "\"a b\"@H"),
    ("a (x) b (y)", "a@H (x), b@H (y)"),
    ("x@y\n\t(z), w", "x@y.D\n\t(z), w@H"),
    ("jos\u00e9 <jos\u00e9@b\u00fccher.x>, b\u00fc",
     "jos\u00e9 <jos\u00e9@b\u00fccher.x>, b\u00fc@H"),
    ("g: a", "g: a@H;"),
    ("", ""),
])
def test_addresses_are_completed(house, value, want):
    env = {"QMAILDEFAULTHOST": "h.x", "QMAILDEFAULTDOMAIN": "d.x",
           "QMAILPLUSDOMAIN": "p.x"}
    want = want.replace("@H", "@h.x").replace(".D", ".d.x") \
        .replace(".P", ".p.x")
    got = house.inject("r@x.y", text=f"To: {value}\n\n", env=env)
    assert f"\nTo: {want}\n".encode() in b"\n" + got.header + b"\n"


@pytest.mark.parametrize("value", [
    "a@b.c", "A B <a@b.c>, d@e.f", "\"x, y\" <a@b.c> (c), \"q r\"@e.f",
    "g: a@b.c, d@e.f;, h@i.j", "a@b.c,,d@e.f", "undisclosed: ;",
    "a@b.c (c (d) e)", "=?utf-8?q?J=C3=B6?= <a@b.c>",
])
def test_python_reads_the_same_recipients(house, value):
    got = house.inject("-H", "x@y.z", text=f"To: {value}\n\n")
    their = email.message_from_bytes(got.raw, policy=email.policy.default)
    want = []
    for a in their["To"].addresses:
        local = a.username
        want.append(f"{local}@{a.domain}")
    assert got.recipients == want + ["x@y.z"]


def test_a_thousand_recipients_on_one_line_are_folded(house):
    names = [f"user{n}" for n in range(1000)]
    got = house.inject(text=f"To: {','.join(names)}\nCc: {' '.join(names)}\n\n")
    want = [f"{name}@me.example.org" for name in names]
    assert got.recipients == want * 2
    assert max(map(len, got.lines())) < 998
    for field in "To", "Cc":
        assert [a for _, a in email.utils.getaddresses([got[field]])] == want


@pytest.mark.parametrize("field", [
    "To: a@b <", "Cc: (x", "From: \"x", "Sender: a@@b", "Bcc: a; b",
    "Reply-To: a@", "Errors-To: [x", "Resent-To: <a", "Return-Path: <",
])
def test_severe_syntax_errors_are_permanent(house, field):
    done = house.run("qmail-inject", "x@y.z", code=100,
                     text=f"Subject: s\n{field}\n\nbody\n")
    assert done.stderr.decode() == (
        f"qmail-inject: fatal: unable to parse this line: {field}\n")
    assert not (house.path / "message.new").exists()


# ---- messages of every shape ----


@pytest.mark.parametrize("text, header, body", [
    (b"X: y", b"X: y", b""),
    (b"X: y\n\nno newline", b"X: y", b"no newline\n"),
    (b"X: y\nno header\n", b"X: y", b"no header\n"),
    (b"From joe Mon\nX: y\n\n", b"MBOX-Line: From joe Mon\nX: y", b""),
    (b"X: y\r\n\r\na\r\n\r\nb\r\n", b"X: y", b"a\n\nb\n"),
    (b"X: y\r\nTo: a@b.c\r\n\nunix\n", b"X: y\nTo: a@b.c", b"unix\n"),
    (b"X: y\n\na\r\n", b"X: y", b"a\r\n"),
    (b"X: y\n\n.\n..\n", b"X: y", b".\n..\n"),
    (b"X: y\n\n\0\xff\x80\n", b"X: y", b"\0\xff\x80\n"),
    (b"X: y\n\n" + b"a" * 100000 + b"\n", b"X: y", b"a" * 100000 + b"\n"),
    (b"X: " + b"a" * 100000 + b"\n\n", b"X: " + b"a" * 100000, b""),
], ids=["header only", "no newline", "no empty line", "mailbox", "crlf",
        "crlf header", "cr in body", "dots", "binary", "long line",
        "long field"])
def test_shapes(house, text, header, body):
    got = house.inject("a@b.c", text=text)
    assert got.header.endswith(b"\n" + header)
    assert got.body == body


def test_ten_megabytes(house):
    body = os.urandom(10_000_000) + b"\n"
    assert house.inject("a@b.c", text=b"X: y\n\n" + body).body == body


# ---- failures ----


def test_misuse_and_no_recipients_are_permanent(house):
    assert b"usage" in house.run("qmail-inject", "-z", code=100).stderr
    assert house.run("qmail-inject", code=100).stderr \
        == b"qmail-inject: fatal: no recipients\n"
    house.run("qmail-inject", "", code=100)
    house.run("qmail-inject", "a\nb@c", code=100)


@pytest.mark.parametrize("queue, code", [(31, 100), (53, 111), (11, 100),
                                         (91, 111)])
def test_the_queues_verdict_is_passed_on(house, queue, code):
    (house.path / "exit").write_text(str(queue))
    done = house.run("qmail-inject", "a@b.c", code=code)
    assert done.stderr.startswith(b"qmail-inject: fatal: ")


def test_a_queue_program_that_cannot_run_is_reported(house):
    done = house.run("qmail-inject", "a@b.c", code=111,
                     env={"QMAILQUEUE": "/no/such/program"})
    assert done.stderr.startswith(b"qmail-inject: fatal: ")


def test_an_unreadable_control_file_is_temporary(house):
    (house.path / "control/defaulthost").mkdir()
    done = house.run("qmail-inject", "a@b.c", code=111)
    assert b"control/defaulthost" in done.stderr


@pytest.mark.parametrize("name, want", [
    ("defaulthost", "From: joe@changed.x"), ("idhost", "@changed.x>"),
    ("defaultdomain", "To: a@short.changed.x"),
    ("plusdomain", "Cc: a@plus.changed.x")])
def test_control_files(house, name, want):
    house.control(name, "changed.x")
    got = house.inject(text="To: a@short\nCc: a@plus+\n\n")
    assert any(want in line for line in got.lines())


# ---- sendmail ----


@pytest.mark.parametrize("arguments, sender, recipients, name", [
    # PHP
    (["-t", "-i"], "joe@me.example.org", HEADER, None),
    (["-t", "-i", "-fweb@x.y"], "web@x.y", HEADER, None),
    # cron
    (["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "-oi", "root"],
     "joe@me.example.org", ["root@me.example.org"], "CronDaemon"),
    (["-i", "-FCron Daemon", "-odi", "-oem", "-oi", "-t", "-f", "root"],
     "root@me.example.org", HEADER, "Cron Daemon"),
    # mutt
    (["-oem", "-oi", "-f", "m@x.y", "-N", "success,failure", "-R", "hdrs",
      "--", "a@x.y", "b@x.y"], "m@x.y", ["a@x.y", "b@x.y"], None),
    # git send-email, mailx, others
    (["-i", "a@x.y", "B <b@x.y>, c@x.y"], "joe@me.example.org",
     ["a@x.y", "b@x.y", "c@x.y"], None),
    (["-bm", "-U", "-v", "-n", "-G", "-em", "-oQ/q", "-V", "id", "-X", "/log",
      "-O", "ErrorMode=q", "-f<f@x.y>", "a@x.y"], "f@x.y", ["a@x.y"], None),
    (["-f", "<>", "a@x.y"], "", ["a@x.y"], None),
    (["-r", "r@x.y", "-t", "a@x.y"], "r@x.y", HEADER + ["a@x.y"], None),
])
def test_sendmail_as_it_is_called(house, arguments, sender, recipients, name):
    text = TEXT.replace("\n", "\r\n") if arguments == ["-t", "-i"] else TEXT
    got = house.inject(*arguments, program="sendmail", text=text)
    assert (got.sender, got.recipients) == (sender, recipients)
    assert (email.utils.parseaddr(got["From"])[0] or None) == name
    assert b"\r" not in got.raw


def test_f_names_the_from_field_too(house):
    got = house.inject("-f", "web@x.y", "a@b.c", program="sendmail")
    assert got["From"] == "web@x.y"


def test_sendmail_refuses_what_it_does_not_do(house):
    for arguments in ["-bd"], ["-bi"], ["-bv", "a"], ["-z"], ["-bm"], \
            ["a@b <"], ["<>"]:
        house.run("sendmail", *arguments, code=100)
    assert house.run("sendmail", "-q").stderr == b""
    house.run("sendmail", code=100, argv0="newaliases")


def test_sendmail_becomes_other_programs(house):
    """Those beside it, not those in PATH."""
    for name in "qmail-qread", "qmail-smtpd":
        (house.bin / name).write_text("#!/bin/sh\necho $0; env\n")
        (house.bin / name).chmod(0o755)
    assert b"qmail-qread" in house.run("sendmail", "-bp").stdout
    assert b"qmail-qread" in house.run("sendmail", argv0="/x/mailq").stdout
    said = house.run("sendmail", "-bs").stdout.decode()
    assert "qmail-smtpd" in said
    for line in "RELAYCLIENT=", "PROTO=TCP", "TCPREMOTEIP=127.0.0.1":
        assert line in said.splitlines()


# ---- maildirmake ----


def test_maildirmake_makes_a_private_maildir(bin, tmp_path):
    made = tmp_path / "Maildir"
    subprocess.run([bin / "maildirmake", made], check=True, umask=0)
    for path in made, made / "tmp", made / "new", made / "cur":
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert len(os.listdir(made)) == 3


def test_maildirmake_says_why_not(bin, tmp_path):
    done = subprocess.run([bin / "maildirmake", tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 111
    assert done.stderr == (
        f"maildirmake: fatal: unable to mkdir {tmp_path}: File exists\n")
    done = subprocess.run([bin / "maildirmake"], capture_output=True)
    assert done.returncode == 100
