"""Fixtures of the system tests.

The programs under test lie in $VALIJA_BIN, by default build-test/bin of
this checkout (`make TEST=1`).
"""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs to run as root")
    config.addinivalue_line("markers", "soak: exhaustive, not part of check")


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the long tests")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "root" in item.keywords and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if "soak" in item.keywords and not config.getoption("--soak"):
            item.add_marker(pytest.mark.skip(reason="soak only"))


@pytest.fixture(scope="session")
def bin():
    """The directory of the programs under test."""
    path = pathlib.Path(os.environ.get("VALIJA_BIN", ROOT / "build-test/bin"))
    if not path.is_dir():
        pytest.fail(f"no programs in {path}: run make TEST=1 first")
    return path
