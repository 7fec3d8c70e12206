"""Running world.py: a network in which names are what a test says."""

import json
import os
import pathlib

from daemontools import run

WORLD = pathlib.Path(__file__).with_name("world.py")


def in_a_world(folder, kind, cases, tmp_path):
    """The results of these cases, with the programs of this folder."""
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    unshare = ["unshare", "-n", "-m"] if os.geteuid() == 0 else \
        ["unshare", "--map-current-user", "--keep-caps", "-n", "-m"]
    done = run(*unshare, "sh", "-c", 'ip link set lo up && exec /usr/bin/python3 "$@"', "sh", WORLD,
               kind, folder, json.dumps(cases), tmp_path / "resolv.conf")
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)
