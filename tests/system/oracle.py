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


class Judge(Oracle):
    """The oracle, and what clients were told, and bounces."""

    def __init__(self, house):
        super().__init__(house)
        self.codes = []
        self.failing = set()  # accepted, and to be bounced

    def converse(self, token, to, body):
        text = b"X-Oracle: %s\r\nSubject: x\r\n\r\n%s" % (token.encode(), body)
        try:
            with self.house.smtp() as client:
                for reply in (lambda: client.ehlo(),
                              lambda: client.mail(f"{self.sender}@{DOMAIN}"),
                              lambda: client.rcpt(to),
                              lambda: client.data(text)):
                    code, _ = reply()
                    if code >= 300:
                        return code
                return code
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        except (OSError, smtplib.SMTPException):
            return 421

    def send(self, body=b"x\r\n"):
        token = uuid.uuid4().hex
        code = self.converse(token, f"{self.user}@{DOMAIN}", body)
        self.codes.append(code)
        (self.accepted if code == 250 else self.refused).add(token)
        return code == 250

    def send_to_nobody(self):
        """To nobody's mailbox: there must be one bounce if it is accepted."""
        token = uuid.uuid4().hex
        code = self.converse(token, f"nobody@{DOMAIN}", b"x\r\n")
        self.codes.append(code)
        if code == 250:
            self.failing.add(token)
        return code == 250

    def bounces(self):
        found = {}
        for raw in self.house.messages(self.sender):
            match = re.search(rb"^X-Oracle: ([0-9a-f]{32})$", raw, re.M)
            assert match, raw
            token = match.group(1).decode()
            found[token] = found.get(token, 0) + 1
        return found

    def judge(self, copies=0):
        super().judge(copies)
        assert all(code == 250 or 400 <= code < 500 for code in self.codes), \
            f"a permanent answer to a temporary failure: {self.codes}"
        bounces = self.bounces()
        wrong = set(bounces) & (self.accepted | self.refused)
        assert not wrong, f"bounced for a temporary failure: {self.house.story()}"
        lost = self.failing - set(bounces)
        assert not lost, f"failed without a bounce: {self.house.story()}"
