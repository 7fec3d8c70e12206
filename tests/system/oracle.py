"""The independent judge: what clients were told against what mailboxes hold.

Each message carries an id of its own. The oracle knows which ids got a 250,
which did not, and counts copies in Maildirs by reading the files.
"""

import re
import smtplib
import uuid

from house import DOMAIN


class Oracle:
    """user: whose mailbox is counted. to: where mail for it is sent, if not
    to the user's own address. sink: count there instead (tests/system/sink.py).
    """

    def __init__(self, house, user="luis", sender="ana", to=None, sink=None):
        self.house = house
        self.user = user
        self.to = to or f"{user}@{DOMAIN}"
        self.sink = sink
        self.sender = sender
        self.accepted = set()
        self.refused = set()
        self.before = set(self.copies())  # other tests' messages

    def send(self, body=b"x\r\n"):
        """Send one message; True when it was acknowledged."""
        token = uuid.uuid4().hex
        text = b"X-Oracle: %s\r\nSubject: x\r\n\r\n%s" % (token.encode(), body)
        try:
            with self.house.smtp() as client:
                client.ehlo()
                client.mail(f"{self.sender}@{DOMAIN}")
                client.rcpt(self.to)
                ok = client.data(text)[0] == 250
                if ok:
                    self.accepted.add(token)
        except (OSError, smtplib.SMTPException):
            ok = token in self.accepted
        if not ok:
            self.refused.add(token)
        return ok

    def copies(self):
        """token -> how many files of the mailbox carry it."""
        found = {}
        for raw in (list(self.sink.messages) if self.sink else
                    self.house.messages(self.user)):
            match = re.search(rb"^X-Oracle: ([0-9a-f]{32})$", raw, re.M)
            assert match, f"a damaged message in the mailbox: {raw[:200]!r}"
            assert raw.endswith(b"\n"), "a message without its end"
            token = match.group(1).decode()
            found[token] = found.get(token, 0) + 1
        return found

    def missing(self):
        return self.accepted - set(self.copies())

    def judge(self, copies=0):
        """Nothing acknowledged is lost; at most so many came once more."""
        found = self.copies()
        lost = self.accepted - set(found)
        assert not lost, f"acknowledged and lost: {sorted(lost)}"
        extra = sum(n - 1 for token, n in found.items()
                    if token not in self.before)
        assert extra <= copies, f"{extra} extra copies"
        strangers = set(found) - self.accepted - self.refused - self.before
        assert not strangers
