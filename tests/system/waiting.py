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
