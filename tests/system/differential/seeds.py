"""Seeds for what is random: the same few in check, others each time in soak.

A test takes its seed as a parameter, so the seed stands in its name where it
fails; VALIJA_SEED=N makes the few begin there:

    @pytest.mark.parametrize("seed", few(5) + many(500))
"""

import os
import secrets

import pytest


def few(count):
    first = int(os.environ.get("VALIJA_SEED", "1"))
    return list(range(first, first + count))


def many(count):
    """Of the soak only, and different ones each time."""
    return [pytest.param(secrets.randbits(40), marks=pytest.mark.soak) for _ in range(count)]
