"""Power cuts at every step, on the file systems that people use.

tests/faults/powercut.py does it, in mount and pid name spaces of its own:
whatever becomes of it, nothing stays mounted or running. check cuts the power
at a sample of steps and looks for a sample of mutants; soak does all of it.
doc/durability.md says what this shows and what it cannot.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAULTS = ROOT / "tests/faults"
sys.path.insert(0, str(FAULTS))

from disk import KINDS  # noqa: E402
from powercut import POLICIES  # noqa: E402

pytestmark = pytest.mark.root

BATCH_S = 3600
WRITEBACK = pathlib.Path("/proc/sys/vm/dirty_writeback_centisecs")

# Steps that a run must have offered as points, or it proves little.
LOGGED = {
    "client: heard 250", "qmail-queued: pwritev log",
    "qmail-queued: fdatasync log", "qmail-send: pwrite64 log",
    "qmail-send: renameat2 mess", "qmail-send: fsync mess",
    "qmail-send: unlinkat mess", "qmail-local: write tmp"}
STEPS = {
    "client: heard 250", "qmail-queued: fsync new", "qmail-queued: openat pid",
    "qmail-queued: renameat2 new", "qmail-queued: write pid",
    "qmail-send: unlinkat mess", "qmail-send: pwrite64 bounce",
    "qmail-local: openat2 tmp", "qmail-local: write tmp"}
# The kernel knows a file by the name that it was opened by.
TAKEN_OVER = {"journal": {"qmail-send: renameat2 mess",
                          "qmail-send: pwrite64 mess"},
              "posix": {"qmail-send: linkat mess", "qmail-send: fsync mess",
                        "qmail-send: unlinkat new",
                        "qmail-send: pwrite64 new"}}

DELIVERED = {"journal": {"qmail-local: renameat2 new",
                         "qmail-local: fsync new"},
             "posix": {"qmail-local: fsync tmp", "qmail-local: linkat new",
                       "qmail-local: unlinkat tmp",
                       "qmail-local: fsync new"}}

# Where each mutant must be caught: (kind, layout, policy) of the disks.
def on(kinds, policy):
    return [(kind, "two", policy) for kind in kinds.split()]


MUTANTS = {
    "queue_no_sync": on("ext4 ext4-fast-commit ext4-no-journal xfs btrfs",
                        "homes-last"),
    "queue_syncs_other": on("ext4 ext4-no-journal xfs btrfs", "homes-last"),
    "queue_no_dir_sync": on("ext4-no-journal ext4-fast-commit", "homes-last"),
    "queue_answers_first": on("ext4 ext4-no-journal xfs btrfs", "homes-last"),
    "maildir_no_sync": on("ext4 ext4-no-journal xfs btrfs", "queue-last"),
    "maildir_no_dir_sync": on("ext4-no-journal ext4-fast-commit",
                              "eager-queue"),
    "maildir_syncs_early": on("ext4 xfs btrfs", "eager-queue"),
    "maildir_journal_anywhere": on("ext4-no-journal ext4-fast-commit",
                                   "eager-queue"),
    "maildir_trusts_names": on("ext4 xfs btrfs", "eager-removals"),
    "done_first": on("ext4 ext4-no-journal xfs btrfs", "eager-queue"),
    "mess_no_dir_sync": on("ext4-no-journal", "homes-last"),
    "log_no_sync": on("ext4 ext4-fast-commit ext4-no-journal xfs btrfs",
                      "homes-last"),
    "log_syncs_other": on("ext4 ext4-no-journal xfs btrfs", "homes-last"),
    "spill_no_sync": on("ext4 ext4-no-journal xfs btrfs", "eager-homes"),
}
OF_LOG = {"log_no_sync", "log_syncs_other", "spill_no_sync"}
PROGRAMS = ("qmail-queued", "qmail-send", "qmail-local", "vdelivermail")
ROOMS = ("lib", "queue", "send", "local")


def spec(kind, layout, policy, **more):
    return {"kind": kind, "layout": layout, "policy": policy, **more}


# ---- running ----

def work_dir():
    """In memory where there is room: the disks' files are small."""
    for place in ("/dev/shm", "/var/tmp"):
        if os.path.isdir(place) and \
                shutil.disk_usage(place).free > 3 << 30:
            break
    made = tempfile.mkdtemp(prefix="valija-powercut-", dir=place)
    os.chmod(made, 0o755)
    return made


@pytest.fixture(scope="module")
def no_writeback():
    """The kernel writes nothing back by itself meanwhile."""
    before = WRITEBACK.read_text()
    WRITEBACK.write_text("0\n")
    yield
    WRITEBACK.write_text(before)


@pytest.fixture
def cut(bin, no_writeback):
    """cut(specs): make these runs; their results."""
    work = work_dir()
    yield lambda specs: run(work, bin, specs)
    shutil.rmtree(work, ignore_errors=True)


def run(work, bin, specs):
    place = tempfile.mkdtemp(dir=work)
    os.chmod(place, 0o755)
    done = subprocess.run(
        ["setpriv", "--pdeathsig", "KILL",
         "unshare", "--mount", "--pid", "--fork", "--kill-child",
         "--mount-proc", "--propagation", "private", sys.executable, "-B",
         FAULTS / "powercut.py", place, bin],
        input="".join(json.dumps(s) + "\n" for s in specs),
        capture_output=True, text=True, timeout=BATCH_S)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for result in results:
        if "error" in result:
            print(result["error"], flush=True)
        assert "error" not in result, f"{result['error']}\n{done.stderr}"
    assert len(results) == len(specs), done.stderr
    return results


def usable(specs):
    """What this kernel can mount; the rest is named."""
    good = [s for s in specs
            if all(KINDS[k].usable() for k in s["kind"].split("+"))]
    for s in specs:
        if s not in good:
            print(f"not here, the kernel has no such file system: {s['kind']}")
    return good


def show(results):
    """The table of runs and counts."""
    rows = [("disk", "layout", "not synced", "points", "disks", "cuts",
             "extra", "faults", "s")]
    rows += [(f"{r['kind']} {'log ' if r.get('log') else ''}"
              f"{r.get('mutant', '')}", r["layout"], r["policy"],
              r["points"], r["disks"], r["recovered"], r["extra"],
              len(r["faults"]), r["seconds"]) for r in results]
    for r in results:
        if r["refused"]:
            print(f"{r['kind']} {r['layout']} {r['policy']}: after "
                  f"{r['refused']} cuts the kernel would not mount it")
    for row in rows:
        print("{:37}{:8}{:16}{:>7}{:>7}{:>6}{:>7}{:>8}{:>7}".format(*row))


def check(result):
    faults = collections.Counter(f"{f['fault']} [{f['at']}]"
                                 for f in result["faults"])
    what = f"{result['kind']} {result['layout']} {result['policy']}"
    assert not faults, f"{what}: {faults.most_common(10)}"
    assert result["accepted"] == 4 + result.get("deferred", False), what
    kinds = [KINDS[name] for name in result["kind"].split("+")]
    steps = DELIVERED[kinds[-1].sync] | (
        LOGGED if result.get("log") else STEPS | TAKEN_OVER[kinds[0].sync])
    assert steps <= set(result["labels"]), \
        f"{what}: steps not reached: {steps - set(result['labels'])}"
    assert result["refused"] <= result["recovered"] / 2, \
        f"{what}: could hardly ever be mounted"
    assert result["disks"] >= 10, f"{what}: the disks hardly ever changed"
    # What nobody asked to be written must not be there, or nothing is seen.
    # (A fast commit writes the data of other files too.)
    if result["policy"] in ("homes-last", "queue-last", "eager-removals") \
            and "fast-commit" not in result["kind"]:
        assert result["canaries"] == 0, f"{what}: unsynced data was there"


# ---- mutants ----

def build(name, bin):
    """The programs with one fault, from the objects of the test build."""
    target = ROOT / f"build-mutant-{name}"
    shutil.rmtree(target, ignore_errors=True)
    tested = pathlib.Path(bin).parent
    if (tested / "obj").is_dir():
        target.mkdir()
        shutil.copy2(tested / "conf.h", target)
        for room in ROOMS:
            shutil.copytree(tested / "obj" / room, target / "obj" / room)
        for rule in target.rglob("*.d"):
            if "lib/mutant.h" in rule.read_text():
                rule.with_suffix(".o").unlink(missing_ok=True)
    subprocess.run(
        ["make", "-s", f"-j{os.cpu_count()}", "TEST=1", f"MUTANT={name}",
         *[f"build-mutant-{name}/bin/{p}" for p in PROGRAMS]],
        cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return target / "bin"


@pytest.fixture
def mutants(bin):
    """mutants(name): where its programs are."""
    made = []

    def make(name):
        made.append(ROOT / f"build-mutant-{name}")
        return str(build(name, bin))

    yield make
    for target in made:
        shutil.rmtree(target, ignore_errors=True)


def specs_of(name, where, mutants):
    place = mutants(name)
    return [spec(*case, mutant=name, bin=place, first=True, settle_s=5,
                 log=name in OF_LOG, deferred=name == "spill_no_sync")
            for case in MUTANTS[name] if where is None or case[0] in where]


def check_caught(results):
    missed = [r for r in results if not r["faults"]]
    assert not missed, [f"{r['mutant']} on {r['kind']}" for r in missed]
    for r in results:
        fault = r["faults"][0]
        print(f"{r['mutant']} on {r['kind']}: caught after "
              f"{r['recovered']} cuts, {fault['fault'][:60]}", flush=True)


# ---- the tests ----

def test_nothing_acknowledged_is_lost_at_sampled_cuts(cut):
    results = cut([spec("ext4", "two", "homes-last", limit=8),
                   spec("ext4-no-journal", "one", "eager-removals", limit=8),
                   spec("ext4", "one", "queue-last", limit=4),
                   spec("ext4", "two", "homes-last", limit=8, log=True,
                        deferred=True),
                   spec("ext4-no-journal", "one", "queue-last", limit=4,
                        log=True)])
    show(results)
    for result in results:
        check(result)


def test_sampled_mutants_are_caught(cut, mutants):
    results = cut(specs_of("queue_no_sync", ["ext4"], mutants) +
                  specs_of("queue_answers_first", ["ext4"], mutants) +
                  specs_of("maildir_no_sync", ["ext4"], mutants) +
                  specs_of("log_no_sync", ["ext4"], mutants))
    show(results)
    check_caught(results)


@pytest.mark.soak
@pytest.mark.parametrize("kind", [*KINDS, "xfs+ext4", "ext4+ext4-no-journal",
                                  "ext4-no-journal+btrfs"])
def test_nothing_acknowledged_is_lost_at_any_cut(cut, kind):
    layouts = ("two",) if "+" in kind else ("one", "two")
    policies = [*POLICIES, *(f"random-{n}" for n in range(1, 3))]
    specs = usable([spec(kind, layout, policy, log=log, deferred=log)
                    for layout in layouts for policy in policies
                    for log in (False, True)])
    results = cut(specs)
    show(results)
    for result in results:
        check(result)


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught_wherever_it_matters(cut, mutants, name):
    results = cut(usable(specs_of(name, None, mutants)))
    show(results)
    check_caught(results)
