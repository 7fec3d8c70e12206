"""Fixtures of the system tests.

The programs under test lie in $VALIJA_BIN, by default build-test/bin of
this checkout (`make TEST=1`).
"""

import os
import pathlib
import signal
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

# What its comparisons have found belongs into the report.
pytest.register_assert_rewrite("multilogs")


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs to run as root")
    config.addinivalue_line("markers", "soak: exhaustive, not part of check")
    # Nobody's name server is asked: there is none at this port.
    os.environ["DNSCACHEIP"] = "127.0.0.1:9"
    # Under nohup(1) the peers' services would inherit an ignored SIGHUP, which
    # a shell cannot trap.
    for number in signal.valid_signals():
        if signal.getsignal(number) == signal.SIG_IGN and number != signal.SIGPIPE:
            signal.signal(number, signal.SIG_DFL)


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the long tests")


def pytest_collection_modifyitems(config, items):
    kept = []
    for item in items:
        if "root" in item.keywords and os.geteuid() != 0:
            # -rs prints the file, the line and this: the name belongs in it.
            item.add_marker(pytest.mark.skip(reason=f"{item.originalname} needs root"))
        # The long runs are another suite, not skipped tests of this one.
        if "soak" not in item.keywords or config.getoption("--soak"):
            kept.append(item)
    items[:] = kept


def pytest_sessionfinish(session, exitstatus):
    """Where nothing may be skipped (VALIJA_NO_SKIP), a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if skipped and os.environ.get("VALIJA_NO_SKIP") and exitstatus == 0:
        session.exitstatus = 1


@pytest.fixture(scope="session")
def bin():
    """The directory of the programs under test."""
    path = pathlib.Path(os.environ.get("VALIJA_BIN", ROOT / "build-test/bin"))
    if not path.is_dir():
        pytest.fail(f"no programs in {path}: run make TEST=1 first")
    return path


@pytest.fixture(autouse=True)
def leaves_no_trace():
    """A test that changes what this process passes on spoils the others."""
    before = os.umask(0o022)
    os.umask(before)
    where = os.getcwd()
    yield
    after = os.umask(before)
    assert after == before, f"the test left umask {after:o}"
    assert os.getcwd() == where


@pytest.fixture
def house(bin):
    """A house that is made but not started; stopped and removed after."""
    from house import House

    made = House(bin)
    yield made
    made.stop()
    made.remove()


@pytest.fixture(scope="module")
def running(bin):
    """A started house with example.test, shared by a module's tests."""
    from house import House

    made = House(bin)
    made.add_domain()
    made.start()
    yield made
    made.stop()
    made.remove()
