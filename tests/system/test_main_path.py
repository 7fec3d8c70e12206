"""A message's whole way, with clients that nobody here wrote."""

import email
import os
import pathlib
import re
import smtplib
import subprocess
import time

import pytest

from house import DOMAIN, PASSWORD, ROOT, free_port, listens
from waiting import wait_for

PEER = ROOT / ".peer/postfix/usr"
TO = f"luis@{DOMAIN}"
FROM = f"ana@{DOMAIN}"


def peer(program):
    """Run one of Postfix's load tools from its unpacked package."""
    env = dict(os.environ, LD_LIBRARY_PATH=str(PEER / "lib/postfix"))
    return [PEER / "sbin" / program], env


def body_of(raw):
    """What the client sent: everything from its own first header on."""
    return raw.split(b"X-Start: 1\n", 1)[1]


@pytest.fixture
def empty(running):
    """The running house with empty mailboxes."""
    for user in ("ana", "luis"):
        for folder in ("new", "cur"):
            for path in (running.maildir(user) / folder).iterdir():
                path.unlink()
    return running


SHAPES = {
    "plain": b"Subject: x\r\n\r\nhello\r\n",
    "8-bit": "Subject: x\r\n\r\nñandú\r\n".encode("latin-1"),
    "utf-8 headers": "Subject: ¡buenos días! 你好\r\n\r\n✓\r\n".encode(),
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n...\r\n",
    "empty body": b"Subject: x\r\n\r\n",
    "no body": b"Subject: x\r\n",
    "line of 998": b"Subject: x\r\n\r\n" + b"a" * 998 + b"\r\n",
    "line of 10,000": b"Subject: x\r\n\r\n" + b"b" * 10000 + b"\r\nend\r\n",
    "blank lines at the end": b"Subject: x\r\n\r\nx\r\n\r\n\r\n\r\n",
    "From at line start": b"Subject: x\r\n\r\nFrom here to there\r\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_arrives_byte_for_byte(empty, shape):
    sent = b"X-Start: 1\r\n" + SHAPES[shape]
    with empty.smtp() as client:
        client.ehlo()
        client.mail(FROM)
        client.rcpt(TO)
        code, _ = client.data(sent)
        assert code == 250
    raw, = empty.wait_messages(1)
    assert body_of(raw) == SHAPES[shape].replace(b"\r\n", b"\n")
    # And out again by POP3, with CRLF and an honest size.
    client = empty.pop3()
    size = int(client.list(1).split()[2])
    lines = client.retr(1)[1]
    got = b"".join(line + b"\r\n" for line in lines)
    client.dele(1)
    client.quit()
    assert got.endswith(sent)
    assert len(got) == size


def test_no_newline_at_the_end_is_completed(empty):
    """A client may end the data right behind the last byte's CRLF only."""
    import socket
    with socket.create_connection(("127.0.0.1", empty.smtp_port)) as sock:
        file = sock.makefile("rb")
        file.readline()
        for line in (b"HELO x\r\n", b"MAIL FROM:<%s>\r\n" % FROM.encode(),
                     b"RCPT TO:<%s>\r\n" % TO.encode(), b"DATA\r\n",
                     b"X-Start: 1\r\nSubject: x\r\n\r\nlast line\r\n.\r\n"):
            sock.sendall(line)
            assert file.readline()[:1] in b"23"
    raw, = empty.wait_messages(1)
    assert body_of(raw) == b"Subject: x\n\nlast line\n"


def test_ten_megabytes(empty):
    line = bytes(range(33, 105)) + b"\r\n"
    sent = b"Subject: big\r\n\r\n" + line * (10 * 1024 * 1024 // len(line))
    empty.send(b"X-Start: 1\r\n" + sent)
    raw, = empty.wait_messages(1, timeout=60)
    assert body_of(raw) == sent.replace(b"\r\n", b"\n")


def test_headers_that_delivery_adds(empty):
    empty.send(b"Subject: x\r\n\r\nhello\r\n")
    raw, = empty.wait_messages(1)
    message = email.message_from_bytes(raw)
    assert message["Return-Path"] == f"<{FROM}>"
    assert message["Delivered-To"] == TO
    received = message.get_all("Received")
    assert re.match(r"\(qmail \d+ invoked ", received[0])
    assert "127.0.0.1" in received[1] and "with ESMTP" in received[1]


def test_a_thousand_recipients(empty):
    """One message, 1,000 RCPT commands, 1,000 copies (user-ext addresses)."""
    for number in range(10):
        name = f"u{number}"
        if not empty.maildir(name).exists():
            empty.run("vadduser", f"{name}@{DOMAIN}", PASSWORD)
    before = {f"u{n}": len(empty.messages(f"u{n}")) for n in range(10)}
    to = [f"u{n % 10}@{DOMAIN}" for n in range(1000)]
    with empty.smtp() as client:
        client.ehlo()
        client.mail(FROM)
        for address in to:
            assert client.rcpt(address)[0] == 250
        assert client.data(b"Subject: all\r\n\r\nx\r\n")[0] == 250
    empty.wait_queue_empty(120)
    for name, count in before.items():
        assert len(empty.messages(name)) == count + 100


def test_swaks(empty):
    subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{empty.smtp_port}", "--to", TO,
         "--from", FROM, "--body", "from swaks", "--pipeline"],
        check=True, capture_output=True, timeout=60)
    raw, = empty.wait_messages(1)
    assert b"from swaks" in raw


def test_msmtp(empty, tmp_path):
    config = tmp_path / "msmtprc"
    config.write_text("defaults\nauth off\ntls off\n")
    config.chmod(0o600)
    subprocess.run(
        ["msmtp", "-C", config, "--host=127.0.0.1",
         f"--port={empty.smtp_port}", f"--from={FROM}", TO],
        input=b"Subject: x\n\nfrom msmtp\n", check=True, capture_output=True,
        timeout=60)
    raw, = empty.wait_messages(1)
    assert b"from msmtp" in raw


def test_fetchmail(empty, tmp_path):
    empty.send(b"Subject: one\r\n\r\n1\r\n")
    empty.send(b"Subject: two\r\n\r\n.2\r\n")
    empty.wait_messages(2)
    mbox = tmp_path / "mbox"
    config = tmp_path / "fetchmailrc"
    config.write_text(
        f'poll 127.0.0.1 service {empty.pop3_port} protocol pop3 '
        f'username "{TO}" password "{PASSWORD}" sslproto "" '
        f'mda "cat >> {mbox}"\n')
    config.chmod(0o700)
    env = dict(os.environ, HOME=str(tmp_path), FETCHMAILHOME=str(tmp_path))
    # Root's invocation wants to be told that this is meant.
    subprocess.run(["fetchmail", "-f", config, "-v", "--pidfile", tmp_path / "pid"],
                   check=True, capture_output=True, env=env, timeout=60)
    text = mbox.read_bytes()
    assert b"Subject: one" in text and b"\n.2\n" in text.replace(b"\r\n", b"\n")
    assert not empty.messages()


def test_getmail6(empty, tmp_path):
    empty.send(b"Subject: one\r\n\r\nfor getmail\r\n")
    empty.wait_messages(1)
    maildir = tmp_path / "Mail"
    for folder in ("tmp", "new", "cur"):
        (maildir / folder).mkdir(parents=True)
    rc = tmp_path / "getmailrc"
    rc.write_text(
        "[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\n"
        f"port = {empty.pop3_port}\nusername = {TO}\npassword = {PASSWORD}\n"
        f"[destination]\ntype = Maildir\npath = {maildir}/\n"
        + (f"user = nobody\n" if os.geteuid() == 0 else "")
        + "[options]\ndelete = true\n")
    if os.geteuid() == 0:
        for path in (tmp_path, maildir, *maildir.iterdir()):
            os.chown(path, 65534, -1)
        for parent in tmp_path.parents:
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 1:
                parent.chmod(parent.stat().st_mode | 0o111)
    subprocess.run(["getmail", "--getmaildir", tmp_path, "--rcfile", rc],
                   check=True, capture_output=True, timeout=60)
    files = list((maildir / "new").iterdir())
    assert len(files) == 1 and b"for getmail" in files[0].read_bytes()
    assert not empty.messages()


def test_smtp_source_loads_it(empty):
    command, env = peer("smtp-source")
    subprocess.run(
        [*command, "-s", "5", "-l", "2000", "-m", "100", "-f", FROM, "-t", TO,
         f"127.0.0.1:{empty.smtp_port}"],
        check=True, env=env, capture_output=True, timeout=120)
    empty.wait_messages(100, timeout=120)
    empty.wait_queue_empty()
    assert len(empty.messages()) == 100


def test_a_message_for_another_domain_leaves(empty, tmp_path):
    """To Postfix's smtp-sink, by control/smtproutes."""
    port = free_port()
    command, env = peer("smtp-sink")
    dump = tmp_path / "sink"
    if os.geteuid() == 0:
        tmp_path.chmod(0o777)
    sink = subprocess.Popen(
        [*command, *(["-u", "nobody"] if os.geteuid() == 0 else []),
         "-D", f"{dump}-%M.", f"127.0.0.1:{port}", "100"], env=env)
    try:
        wait_for(lambda: listens(port), 10, "smtp-sink")
        empty.control("smtproutes", f"elsewhere.test:127.0.0.1:{port}\n")
        empty.send(b"Subject: away\r\n\r\n.dot\r\nbye\r\n",
                   to=["bob@elsewhere.test"])
        found = wait_for(lambda: [p for p in tmp_path.glob("sink-*")
                                  if b"\nbye" in p.read_bytes()], 30,
                         "the message at the sink")
        text = found[0].read_bytes()
        assert b"bob@elsewhere.test" in text and b"\n.dot" in text
        empty.wait_queue_empty()
    finally:
        sink.terminate()
        sink.wait()


def test_an_unknown_mailbox_bounces_to_the_sender(empty):
    with empty.smtp() as client:
        client.sendmail(FROM, [f"nobody-here@{DOMAIN}"],
                        b"Subject: lost\r\n\r\nsecret word\r\n")
    raw, = empty.wait_messages(1, user="ana")
    message = email.message_from_bytes(raw)
    assert message["Return-Path"] == "<>"
    text = raw.decode()
    assert "Hi. This is the qmail-send program at" in text
    assert f"<nobody-here@{DOMAIN}>:" in text
    assert "no mailbox here by that name" in text
    assert "secret word" in text
    empty.wait_queue_empty()


def test_the_log_tells_the_story_in_qmails_words(empty):
    empty.send(b"Subject: story\r\n\r\nx\r\n")
    empty.wait_messages(1)
    empty.wait_queue_empty()
    text = wait_for(lambda: (t := empty.log()) and "end msg" in t and t)
    number = re.findall(r"new msg (\d+)", text)[-1]
    assert re.search(rf"info msg {number}: bytes \d+ from <{FROM}> qp \d+ uid \d+", text)
    assert re.search(rf"starting delivery \d+: msg {number} to local \S+{TO}", text)
    assert re.search(r"status: local \d+/10 remote \d+/20", text)
    assert re.search(r"delivery \d+: success: ", text)
    assert f"end msg {number}" in text


def test_wrong_password_is_refused(running):
    import poplib
    client = poplib.POP3("127.0.0.1", running.pop3_port, timeout=30)
    client.user(TO)
    with pytest.raises(poplib.error_proto, match="authorization failed"):
        client.pass_("not this one")


def test_relaying_is_refused_without_relayclient(house):
    smtpd = house.home / "service/qmail-smtpd"
    house.run("tcprules", smtpd / "tcp.cdb", smtpd / "tcp.tmp", input=b":allow\n")
    house.add_domain()
    house.start()
    with house.smtp() as client:
        client.ehlo()
        client.mail("x@elsewhere.test")
        assert client.rcpt("y@elsewhere.test")[0] == 553
        assert client.rcpt(TO)[0] == 250
