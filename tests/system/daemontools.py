"""Both daemontools side by side: ours (under test) and Debian's (the judge)."""

import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

from waiting import wait_for

DEBIAN = pathlib.Path("/usr/bin")


def need_debian():
    """The judge must be there: a missing one is a failure, not a skip."""
    for name in ("multilog", "supervise", "svscan"):
        if not (DEBIAN / name).exists():
            pytest.fail(f"{DEBIAN / name} is missing: install Debian's package daemontools")


def run(program, *args, **kw):
    kw.setdefault("capture_output", True)
    kw.setdefault("timeout", 60)
    kw.setdefault("stdin", subprocess.DEVNULL if "input" not in kw else None)
    if kw["stdin"] is None:
        del kw["stdin"]
    return subprocess.run([program, *map(str, args)], **kw)


def write_script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def make_service(directory, script, log=None, down=False):
    write_script(directory / "run", script)
    if down:
        (directory / "down").touch()
    if log is not None:
        write_script(directory / "log" / "run", log)
    return directory


def raw_status(service):
    return (service / "supervise" / "status").read_bytes()


def status(service):
    """(up, paused, want) as the 18 bytes say."""
    raw = raw_status(service)
    assert len(raw) == 18
    return raw[12:16] != b"\0\0\0\0", raw[16], raw[17:18]


def pid_of(service):
    return int.from_bytes(raw_status(service)[12:16], "little")


def without_numbers(text):
    return re.sub(rb"\d+ seconds", b"N seconds", re.sub(rb"pid \d+", b"pid N", text))


def without_death(text):
    """What svstat says, without what ours says beyond the original."""
    return re.sub(rb", last (exit|killed by signal) \w+$", b"", text, flags=re.M)


def exists(pid):
    """Is this process there, and not just a corpse?"""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rsplit(")", 1)[1].split()[0] not in "ZX"


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = text.rsplit(")", 1)[1].split()
        if int(fields[1]) == pid:
            found.append((int(entry.name), fields[0], text.split("(", 1)[1].rsplit(")", 1)[0]))
    return found


class Keeper:
    """Starts processes and, at the end, ends what it started."""

    def __init__(self):
        # Not pytest's directories: other uids must be able to walk there.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="valija-dt-", dir="/tmp"))
        self.dir.chmod(0o755)
        self.started = []
        self.supervised = []

    def start(self, *args, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        errors = self.dir / f"stderr.{len(self.started)}"
        with open(errors, "wb") as file:
            kw.setdefault("stderr", file)
            process = subprocess.Popen([str(a) for a in args], **kw)
        process.errors = errors
        self.started.append(process)
        return process

    def supervise(self, program, service):
        process = self.start(program, service)
        self.supervised.append(service)
        wait_for(lambda: run(DEBIAN / "svok", service).returncode == 0, 10, "supervise to begin")
        return process

    def scan(self, program, directory, **kw):
        process = self.start(program, directory, **kw)
        self.supervised.append(directory)
        return process

    def close(self):
        services = []
        for process in self.started:
            if process.poll() is None and "svscan" in str(process.args[0]):
                process.kill()
                process.wait()
        # Links lead out of the folders that were scanned, not out of ours.
        for top in {*self.supervised, self.dir}:
            services += [p.parent.parent for p in top.rglob("supervise/control")]
        for service in services:
            run(DEBIAN / "svc", "-dxk", service)
        for service in services:
            wait_for(lambda: run(DEBIAN / "svok", service).returncode != 0, 10,
                     f"{service} to end")
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def keeper():
    need_debian()
    keeper = Keeper()
    yield keeper
    keeper.close()
