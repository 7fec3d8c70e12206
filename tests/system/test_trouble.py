"""Trouble of the system: temporary failures, and recovery by itself."""

import os
import poplib
import signal
import smtplib
import subprocess

import pytest

from house import DOMAIN, PASSWORD
from oracle import Oracle
from test_kill import settle
from waiting import wait_for

TO = f"luis@{DOMAIN}"
FROM = f"ana@{DOMAIN}"


@pytest.fixture(scope="module")
def troubled(bin):
    from house import House
    made = House(bin)
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()


def reply_to(house, *commands):
    """The code of the last command's reply, or of the greeting."""
    client = smtplib.SMTP(timeout=60)
    try:
        code, _ = client.connect("127.0.0.1", house.smtp_port)
        for command in commands:
            code, _ = client.docmd(command)
        return code
    except smtplib.SMTPServerDisconnected:
        return 421
    finally:
        client.close()


@pytest.mark.parametrize("name", ["me", "rcpthosts", "databytes", "timeoutsmtpd"])
def test_an_unreadable_control_file_is_a_temporary_failure(troubled, name):
    """A folder in its place cannot be read even by root."""
    path = troubled.home / "control" / name
    kept = path.read_bytes() if path.exists() else None
    if kept is not None:
        path.unlink()
    path.mkdir()
    try:
        code = reply_to(troubled, "EHLO x", f"MAIL FROM:<{FROM}>", f"RCPT TO:<{TO}>")
        assert 400 <= code < 500
    finally:
        path.rmdir()
        if kept is not None:
            path.write_bytes(kept)
    oracle = Oracle(troubled)
    assert oracle.send()
    settle(troubled)
    oracle.judge()


def test_a_number_that_is_none_is_a_temporary_failure(troubled):
    troubled.control("databytes", "lots\n")
    try:
        assert 400 <= reply_to(troubled, "EHLO x", f"MAIL FROM:<{FROM}>") < 500
    finally:
        troubled.control("databytes", None)
    assert Oracle(troubled).send()
    settle(troubled)


@pytest.mark.parametrize("path", ["users/cdb", f"vpopmail/domains/{DOMAIN}/vpasswd.cdb"])
def test_a_corrupt_cdb_defers_and_recovers(troubled, path):
    full = troubled.home / path
    good = full.read_bytes()
    stat = full.stat()
    oracle = Oracle(troubled)

    def replace(content):
        temp = full.with_suffix(".tmp-of-test")
        temp.write_bytes(content)
        os.chown(temp, stat.st_uid, stat.st_gid)
        temp.chmod(stat.st_mode & 0o7777)
        os.replace(temp, full)

    replace(b"\xff" * 2048 + b"not a cdb")
    try:
        before = troubled.log().count("deferral:")
        assert oracle.send()
        wait_for(lambda: troubled.log().count("deferral:") > before, 20,
                 "a deferral in the log")
        assert troubled.queue_files("mess")
        if path.endswith("vpasswd.cdb"):
            client = poplib.POP3("127.0.0.1", troubled.pop3_port, timeout=30)
            client.user(TO)
            with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
                client.pass_(PASSWORD)
    finally:
        replace(good)
    settle(troubled)
    oracle.judge()
    assert not troubled.messages("ana"), "it bounced"


def test_without_qmail_queued_mail_waits_at_the_client(troubled):
    """The queue's writer is away: no 250, and nothing is lost."""
    def signal_all(number):
        # The service's own, or the one that qmail-start needed: every one.
        for pid in troubled.pids("qmail-queued"):
            os.kill(pid, number)

    signal_all(signal.SIGSTOP)
    try:
        client = troubled.smtp()
        client.ehlo()
        client.mail(FROM)
        client.rcpt(TO)
        client.sock.settimeout(2)
        client.putcmd("DATA")
        with pytest.raises((TimeoutError, OSError)):
            code, _ = client.getreply()
            if 400 <= code < 500:
                raise TimeoutError
        client.close()
    finally:
        signal_all(signal.SIGCONT)
    oracle = Oracle(troubled)
    assert oracle.send()
    settle(troubled)
    oracle.judge()


@pytest.mark.root
def test_a_full_disk_refuses_and_recovers(bin):
    """The queue on a small tmpfs, filled up: 452 or 451, then it works."""
    from house import House
    house = House(bin)
    queue = house.home / "queue"
    kept = house.home / "queue.kept"
    os.rename(queue, kept)
    queue.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0755", "tmpfs",
                    queue], check=True)
    try:
        subprocess.run(["cp", "-a", f"{kept}/.", queue], check=True)
        house.add_domain()
        house.start()
        oracle = Oracle(house)
        assert oracle.send()
        settle(house)
        filler = queue / "filler"
        fd = os.open(filler, os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space"):
            while True:
                os.write(fd, b"x" * 4096)
        os.close(fd)
        assert not oracle.send(), "accepted with a full disk"
        filler.unlink()
        assert not oracle.send(b"z" * 17_000_000), \
            "accepted more than there is room for"
        assert oracle.send()
        settle(house)
        oracle.judge()
        assert not house.queue_files("pid", "new", "mess")
    finally:
        house.stop()
        subprocess.run(["umount", queue], check=True)
        house.remove()


def test_a_session_outlives_a_restart_of_qmail_queued(house):
    """Its connection from the message before is of no use any more."""
    house.add_domain()
    house.start()
    with house.smtp() as client:
        for number in range(3):
            client.sendmail(f"ana@{DOMAIN}", [f"luis@{DOMAIN}"],
                            f"Subject: {number}\r\n\r\nx\r\n")
            before = house.pids("qmail-queued")
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not set(before) & set(house.pids("qmail-queued")),
                     20, house.story)
    house.wait_messages(3)
