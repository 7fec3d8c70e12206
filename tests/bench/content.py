"""Is in the Maildir what was sent, whole, once, and nothing else?"""

import collections
import os
import re

OWN = re.compile(rb"^(?:Date: [^\n]*|Message-Id: <[0-9a-f.]+@[^>\n]+>)$")
ADDED = {b"return-path", b"delivered-to", b"x-original-to", b"received"}
SMTP_RECEIVED = re.compile(rb"\bby\b.*\bwith E?SMTP", re.S)


class Wrong(Exception):
    """What was found is not what was sent."""


def fields(head):
    """Header fields with their continuation lines."""
    found = []
    for line in head.split(b"\n")[:-1]:
        if line[:1] in b" \t" and found:
            found[-1] += b"\n" + line
        else:
            found.append(line)
    return found


def split(message):
    """(what the servers added in front, what was sent)."""
    at = message.find(b"From: <")
    if at < 0 or (at and message[at - 1:at] != b"\n"):
        raise Wrong("the message does not begin where it should")
    return message[:at], message[at:]


def token_of(sent):
    found = re.search(rb"^Message-Id: <([^>\n]+)>$", sent, re.M)
    if not found:
        raise Wrong("no Message-Id")
    return found.group(1)


def check_added(head):
    added = fields(head)
    for field in added:
        if field.split(b":", 1)[0].lower() not in ADDED:
            raise Wrong(f"added: {field!r}")
    received = [f for f in added if f.lower().startswith(b"received:")
                and SMTP_RECEIVED.search(f)]
    if len(received) != 1:
        raise Wrong(f"{len(received)} Received fields of an SMTP server")


def check_sent(sent, template):
    """Byte for byte, but for the date and the id that are each message's own."""
    mine, theirs = sent.split(b"\n"), template.split(b"\n")
    if len(mine) != len(theirs):
        raise Wrong(f"{len(mine)} lines, sent were {len(theirs)}")
    for line, wanted in zip(mine, theirs):
        if line != wanted and not (
                OWN.match(line) and OWN.match(wanted)
                and line.split(b":")[0] == wanted.split(b":")[0]):
            raise Wrong(f"{line[:60]!r} for {wanted[:60]!r}")


def check_message(message, templates):
    """Which template it is (its number), and its id."""
    head, sent = split(message)
    check_added(head)
    for number, template in enumerate(templates):
        if len(sent) - len(template) in range(-40, 41):
            check_sent(sent, template)
            return number, token_of(sent)
    raise Wrong(f"{len(sent)} bytes: nothing of that size was sent")


def check_folder(folder, templates, counts):
    """A Maildir's new/: counts[n] messages like templates[n], each id once."""
    seen, ids = collections.Counter(), set()
    for entry in os.scandir(folder):
        with open(entry.path, "rb") as file:
            message = file.read()
        try:
            number, token = check_message(message, templates)
            if token in ids:
                raise Wrong(f"{token} is there twice")
        except Wrong as error:
            raise Wrong(f"{entry.path}: {error}") from None
        ids.add(token)
        seen[number] += 1
    wanted = {n: count for n, count in enumerate(counts) if count}
    if dict(seen) != wanted:
        raise Wrong(f"{folder}: {dict(seen)} messages, sent were {wanted}")
    return ids
