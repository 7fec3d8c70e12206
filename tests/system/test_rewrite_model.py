"""Where addresses go: qmail-send against a model of the manual in Python."""

import random
import re
import signal

import pytest

from spawners import Send

MESSAGE = b"Subject: x\n\n"


class Model:
    """qmail-send(8): envnoathost, locals, percenthack, virtualdomains."""

    def __init__(self, me, locals_, hacks, virtual):
        self.me = me
        self.locals = {name.lower() for name in locals_}
        self.hacks = {name.lower() for name in hacks}
        self.virtual = {}
        for line in virtual:
            if ":" in line:
                name, prepend = line.split(":", 1)
                self.virtual[name.lower()] = prepend

    def route(self, address):
        if "@" not in address:
            address += "@" + self.me
        box, domain = address.rsplit("@", 1)
        while domain.lower() in self.hacks and "%" in box:
            box, domain = box.rsplit("%", 1)
        address = box + "@" + domain
        domain = address.rsplit("@", 1)[1].lower()
        if domain in self.locals:
            return "local", address
        names = [address.lower(), domain]
        names += [domain[at:] for at, c in enumerate(domain) if c == "."]
        for name in names + [""]:
            if name in self.virtual:
                if self.virtual[name]:
                    return "local", self.virtual[name] + "-" + address
                break
        return "remote", address


LABELS = ["a", "b", "c", "example", "x-y"]


def some_domain(rng):
    name = ".".join(rng.choice(LABELS) for _ in range(rng.randint(1, 3)))
    return rng.choice([name, name.upper()])


def some_address(rng):
    address = rng.choice(["joe", "Joe", "list-x", "j.d", ""])
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        address += rng.choice(["%", "%", "@"]) + some_domain(rng)
    if rng.random() < 0.95:
        address += "@" + some_domain(rng)
    return address


def some_virtual(rng):
    name = rng.choice([
        some_domain(rng), "." + some_domain(rng), "",
        rng.choice(["joe", "JOE", "list-x"]) + "@" + some_domain(rng)])
    return name + rng.choice([":", ":", ":", ""]) + rng.choice(
        ["", "owner", "o-w", "p:q"])


@pytest.mark.parametrize("seed", range(8))
def test_addresses_go_where_the_model_says(tmp_path, bin, seed):
    rng = random.Random(seed)
    locals_ = [some_domain(rng) for _ in range(4)]
    hacks = [some_domain(rng) for _ in range(4)]
    virtual = [some_virtual(rng) for _ in range(12)]
    virtual = [line for line in virtual if line]
    model = Model("me.example", locals_, hacks, virtual)
    send = Send(tmp_path, bin)
    send.control("me", "me.example\n")
    send.control("locals", "\n".join(locals_) + "\n")
    send.control("percenthack", "\n".join(hacks) + "\n")
    send.control("virtualdomains", "\n".join(virtual) + "\n")
    addresses = [some_address(rng) for _ in range(200)]
    ident = send.queue.write(MESSAGE, b"",
                             [address.encode() for address in addresses])
    send.start()
    try:
        send.wait_end(ident)
    finally:
        send.stop(signal.SIGKILL)
    got = {}
    for spawner in (send.local, send.remote):
        for job in spawner.jobs:
            for number, address in job.recipients:
                got[number] = (spawner.channel, address.decode(),
                               job.host and job.host.lower())
    assert len(got) == len(addresses)
    for number, address in enumerate(addresses):
        channel, target = model.route(address)
        host = (target.rsplit("@", 1)[1].lower().encode()
                if channel == "remote" else None)
        assert got[number] == (channel, target, host), address
    # The log says the same.
    assert (len(re.findall(r"^starting delivery \d+: msg \d+ to (?:local|"
                           r"remote) \S*@\S*$", send.log(), re.M))
            == len(addresses))
