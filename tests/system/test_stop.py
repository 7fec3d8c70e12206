"""The end of a whole house: quick, and nothing under way is put off."""

import os
import signal

from house import DOMAIN
from waiting import wait_for


def under_way(house):
    """A delivery that will forward, and waits. Returns what lets it go on."""
    home = house.maildir("ana").parent
    began, go = home / "began", home / "go"
    for fifo in (began, go):
        os.mkfifo(fifo)
        fifo.chmod(0o666)
    dot = home / ".qmail"
    dot.write_text(f"|echo > began; read x < go\n&luis@{DOMAIN}\n")
    for path in (began, go, dot):
        os.chown(path, home.stat().st_uid, home.stat().st_gid)
    dot.chmod(0o600)
    house.send(b"Subject: on its way\r\n\r\nx\r\n", to=(f"ana@{DOMAIN}",))
    began.read_text()
    return lambda: go.write_text("\n")


def test_what_is_under_way_is_forwarded_before_the_end(house):
    """qmail-queued is told to end first, and yet takes what is forwarded."""
    house.add_domain()
    house.start()
    go_on = under_way(house)
    house.svc("-d", "qmail-queued")
    house.svc("-d", "qmail-smtpd", "qmail-pop3d", "qmail-send")
    wait_for(lambda: "left before exit: 1" in house.log(), 20, "TERM to arrive")
    go_on()
    # Without a qmail-queued qmail-local would wait a minute, and defer.
    wait_for(lambda: not house.pids("qmail-queued"), 20, house.story)
    wait_for(lambda: "status: exiting" in house.log(), 20, house.story)
    assert "deferral:" not in house.log()
    assert not house.messages()
    house.stop()
    house.start()
    (message,) = house.wait_messages(1)
    assert b"on its way" in message


def test_qmail_queued_alone_restarts_soon(house):
    """Nobody told qmail-send to end: there is nothing to wait for."""
    house.add_domain()
    house.start()
    (before,) = house.pids("qmail-queued")[:1]
    house.svc("-t", "qmail-queued")
    wait_for(lambda: before not in house.pids("qmail-queued"), 8, house.story)
    house.send(b"Subject: afterwards\r\n\r\nx\r\n")
    house.wait_messages(1)


def test_svscan_ends_all_of_it(house):
    house.add_domain()
    house.start()
    go_on = under_way(house)
    house.svscan.send_signal(signal.SIGTERM)
    wait_for(lambda: "left before exit: 1" in house.log(), 20, "TERM to arrive")
    go_on()
    assert house.svscan.wait(25) == 0
    assert "deferral:" not in house.log()
    assert not house.pids()
