"""A tcpserver under test: what its tests have in common."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess

import pytest

from waiting import wait_for

DEBIAN = pathlib.Path("/usr/bin")


def compile_rules(program, path, text):
    return subprocess.run([program, path, f"{path}.tmp"], input=text.encode(),
                          capture_output=True)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, process, log):
        self.process, self.log = process, log
        self.port = int(process.stdout.readline())

    def lines(self):
        return self.log.read_text().splitlines()

    def wait_line(self, pattern, count=1):
        wait_for(lambda: sum(bool(re.search(pattern, line))
                             for line in self.lines()) >= count,
                 what=pattern)

    def talk(self, source="127.0.0.1", target=None, send=b""):
        target = target or source
        with socket.create_connection((target, self.port), timeout=20,
                                      source_address=(source, 0)) as s:
            s.sendall(send)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := s.recv(65536):
                    said += chunk
            return said

    def environment(self, **talk):
        said = self.talk(**talk).decode()
        return dict(line.split("=", 1) for line in said.splitlines()
                    if line.startswith(("TCP", "PROTO", "RULE_")))


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(program, *options, host="127.0.0.1", run=("env",), prefix=(),
              **popen):
        log = tmp_path / f"log{len(running)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*prefix, program, "-v1", *options, host, "0", *run],
                stdout=subprocess.PIPE, stderr=out, **popen)
        running.append(process)
        return Server(process, log)

    yield start
    for process in running:
        process.terminate()
        process.wait(20)
        process.stdout.close()
