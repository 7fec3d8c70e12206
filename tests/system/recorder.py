"""Programs that hand messages to the queue, and a queue that records them."""

import email
import email.policy
import functools
import os
import shutil
import subprocess

QUEUE = """#!/usr/bin/python3
import os, sys
def slurp(fd):
    data = bytearray()
    while chunk := os.read(fd, 65536):
        data += chunk
    return data
folder = os.environ["RECORD"]
for name, fd in ("message", 0), ("envelope", 1):
    with open(f"{folder}/{name}.new", "wb") as f:
        f.write(slurp(fd))
if os.path.exists(f"{folder}/exit"):
    sys.exit(int(open(f"{folder}/exit").read()))
for name in "message", "envelope":
    os.rename(f"{folder}/{name}.new", f"{folder}/{name}")
"""


class House:
    """A home with control files and a queue program that records."""

    def __init__(self, bin, path, programs):
        # Programs find their home above their own bin/.
        self.bin, self.path = path / "bin", path
        self.bin.mkdir()
        for name in programs:
            shutil.copy(bin / name, self.bin)
        (path / "control").mkdir()
        self.control("me", "me.example.org")
        self.queue = path / "queue.py"
        self.queue.write_text(QUEUE)
        self.queue.chmod(0o755)
        self.env = {"PATH": "/usr/bin:/bin", "RECORD": str(path),
                    "QMAILQUEUE": str(self.queue), "USER": "joe"}

    def control(self, name, text):
        (self.path / "control" / name).write_text(text + "\n")

    def run(self, program, *arguments, text="", env={}, code=0, argv0=None):
        if isinstance(text, str):
            text = text.encode("utf-8", "surrogateescape")
        full = {k: v for k, v in {**self.env, **env}.items() if v is not None}
        done = subprocess.run([argv0 or program, *arguments], input=text,
                              executable=self.bin / program, env=full,
                              capture_output=True, timeout=30)
        assert done.returncode == code, done
        return done

    def inject(self, *arguments, program="qmail-inject", **rest):
        """Send, and return what the queue got: header, body, from, to."""
        self.run(program, *arguments, **rest)
        return self.queued()

    def queued(self):
        message = (self.path / "message").read_bytes()
        envelope = (self.path / "envelope").read_bytes()
        (self.path / "message").unlink()
        (self.path / "envelope").unlink()
        assert envelope.startswith(b"F") and envelope.endswith(b"\0\0")
        sender, *recipients = envelope[1:-2].decode().split("\0")
        assert all(r.startswith("T") for r in recipients)
        return Queued(message, sender, [r[1:] for r in recipients])


class Queued:
    def __init__(self, raw, sender, recipients):
        self.raw, self.sender, self.recipients = raw, sender, recipients
        self.header, _, self.body = raw.partition(b"\n\n")

    @functools.cached_property
    def message(self):
        return email.message_from_bytes(self.raw, policy=email.policy.compat32)

    def lines(self):
        return self.header.decode("utf-8", "surrogateescape").split("\n")

    def __getitem__(self, name):
        return self.message[name]
