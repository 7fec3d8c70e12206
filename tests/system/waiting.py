"""Waiting for events with a deadline, instead of sleeping and hoping."""

import time


def wait_for(condition, timeout=20.0, what="the condition"):
    """Call condition() until it returns something true; return that.

    what says what was waited for: a text, or a function that makes one.
    """
    deadline = time.monotonic() + timeout
    pause = 0.002
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


class Progress:
    """A line now and then, for who watches a long run (pytest -s)."""

    def __init__(self, what, total, every_s=30):
        self.what = what
        self.total = total
        self.every_s = every_s
        self.began = self.said = time.monotonic()
        self.count = 0

    def step(self, text=""):
        self.count += 1
        now = time.monotonic()
        if now - self.said >= self.every_s:
            self.said = now
            print(f"{self.what}: {self.count} of {self.total} after "
                  f"{now - self.began:.0f} s {text}", flush=True)
