"""qmail-remote finds the mail exchangers of a host: what DNS says, and what it does not."""

import os
import shutil
import subprocess

import pytest

import jobs
from dnsserver import DnsServer
from house import House
from test_remote import MESSAGE, Instance, Server
from waiting import wait_for

OURSELVES = ("DSorry. Although I'm listed as a best-preference MX or A for that host,\n"
             "it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n")
NO_HOST = "DSorry, I couldn't find any host named far.test. (#5.1.2)\n"
NO_ADDRESS = "DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n"
TROUBLE = "ZDNS lookup of far.test failed temporarily. (#4.4.3)\n"
BUSY = b"554 not today\r\n"


def ip(n):
    return f"127.0.1.{n}"


class World:
    """A name server, and mail servers of other hosts on loopback, at one port."""

    def __init__(self, bin):
        self.dns = DnsServer()
        self.instance = Instance(bin)
        self.servers = {}
        self.first = self.serve(1)
        # Without its relay, an entry says the port.
        self.instance.control("smtproutes", f"::{self.first.port}\n")
        self.others([*map(ip, range(1, 10)), "::1"])

    def others(self, addresses):
        self.instance.control("notipme", "".join(f"{a}\n" for a in addresses))

    def serve(self, n, **kw):
        """Server number n; 6 is the one with IPv6."""
        host = "::1" if n == 6 else ip(n)
        port = self.first.port if self.servers else 0
        self.servers[n] = Server(host=host, port=port, **kw)
        return self.servers[n]

    def names(self, *rows):
        for row in rows:
            name, kind, value = row.split(" ", 2)
            self.dns.add(name, kind, value)

    def send(self, host="far.test", **kw):
        return self.instance.remote(host=host, dns=self.dns, **kw)[1]

    def connections(self):
        """Who was connected to, and how often."""
        return {n: server.connections for n, server in self.servers.items() if server.connections}

    def close(self):
        for server in self.servers.values():
            server.close()
        self.dns.close()
        shutil.rmtree(self.instance.home)


@pytest.fixture
def world(bin):
    it = World(bin)
    yield it
    it.close()


# ---- where mail goes ----

def test_the_best_exchanger_gets_it(world):
    world.serve(2)
    world.names("far.test MX 20 two.test", "far.test MX 10 one.test", "one.test A " + ip(1),
                "two.test A " + ip(2), "far.test A " + ip(3))
    assert world.send() == f"K{ip(1)} accepted message.\nRemote host said: 250 taken\n"
    assert world.connections() == {1: 1}
    assert world.first.commands[2] == b"RCPT TO:<r@far.test>"
    assert world.dns.asked[0] == ("far.test", "MX", "udp")
    assert sorted(world.dns.asked[1:]) == [(f"{n}.test", kind, "udp") for n in ("one", "two")
                                           for kind in ("A", "AAAA")]


def test_one_that_does_not_work_makes_room_for_the_next(world):
    world.serve(2, greeting=BUSY)
    # Nobody listens at the first, the second is not in the mood.
    world.names("far.test MX 1 dead.test", "far.test MX 2 two.test", "far.test MX 3 one.test",
                "dead.test A " + ip(9), "two.test A " + ip(2), "one.test A " + ip(1))
    assert world.send().startswith(f"K{ip(1)} accepted message.")
    assert world.connections() == {1: 1, 2: 1}


@pytest.mark.parametrize("kind, n", [("A", 1), ("AAAA", 6)])
def test_a_host_without_exchangers_is_its_own(world, kind, n):
    world.serve(6)
    world.names(f"far.test {kind} " + (ip(n) if kind == "A" else "::1"))
    assert world.send()[0] == "K"
    assert world.connections() == {n: 1}


def test_the_other_family_is_tried_too(world):
    world.serve(6)
    world.names("far.test MX 10 both.test", "both.test A " + ip(9), "both.test AAAA ::1")
    for _ in range(4):  # whichever comes first
        assert world.send()[0] == "K"
    assert world.connections() == {6: 4}


def test_equals_share_the_mail(world):
    world.serve(2)
    world.names("far.test MX 10 one.test", "far.test MX 10 two.test", "one.test A " + ip(1),
                "two.test A " + ip(2))
    for _ in range(40):
        assert world.send()[0] == "K"
        if len(world.connections()) == 2:
            break
    assert sorted(world.connections()) == [1, 2]


def test_aliases_are_followed(world):
    world.names("far.test CNAME real.test", "real.test MX 10 alias.test", "alias.test CNAME one.test",
                "one.test A " + ip(1))
    assert world.send()[0] == "K"
    assert world.first.commands[2] == b"RCPT TO:<r@far.test>"


def test_an_address_as_an_exchanger_is_borne(world):
    world.names("far.test MX 10 " + ip(1))
    assert world.send()[0] == "K"
    assert [name for name, _, _ in world.dns.asked] == ["far.test"]


def test_a_hundred_exchangers_are_not_all_looked_up(world):
    for n in range(100):
        world.names(f"far.test MX {100 - n} mx{n}.test", f"mx{n}.test A {ip(1 if n == 99 else 9)}")
    assert world.send()[0] == "K"
    # The answer was too large for UDP.
    assert world.dns.asked[:2] == [("far.test", "MX", "udp"), ("far.test", "MX", "tcp")]
    assert len(world.dns.asked) == 2 + 2 * 16


def test_upper_case_and_a_dot_at_the_end_are_the_same_host(world):
    world.names("far.test MX 10 one.test", "one.test A " + ip(1))
    assert world.send(host="FAR.Test")[0] == "K"
    assert world.send(host="far.test.")[0] == "K"


# ---- where it does not go ----

@pytest.mark.parametrize("rows, want", [
    ([], NO_HOST),
    (["far.test TXT no mail here"], NO_HOST),
    (["far.test MX 10 one.test"], NO_ADDRESS),
    (["far.test MX 10 one.test", "one.test TXT nothing"], NO_ADDRESS),
    (["far.test MX 0 ."], "DSorry, far.test does not accept mail. (#5.1.10)\n"),
    (["far.test MX 0 .", "far.test A 127.0.1.1"],
     "DSorry, far.test does not accept mail. (#5.1.10)\n"),
])
def test_what_dns_says_for_good_is_for_good(world, rows, want):
    world.names(*rows)
    assert world.send() == want
    assert world.connections() == {}


def test_a_null_exchanger_among_others_is_none(world):
    world.names("far.test MX 0 .", "far.test MX 10 one.test", "one.test A " + ip(1))
    assert world.send()[0] == "K"


@pytest.mark.parametrize("name, way", [
    *((name, way) for name in ("far.test", "one.test")
      for way in ("servfail", "refused", "notimp", "short data", "garbage", "loop", "cut, no tcp")),
    ("far.test", "wrong id"),  # nothing else comes: two tries of five seconds
])
def test_what_dns_cannot_say_is_for_now(world, name, way):
    """IM7: records cut short, names in a circle, bytes that mean nothing."""
    world.names("far.test MX 10 one.test", "one.test A " + ip(1))
    world.dns.behave(name, way)
    assert world.send() == TROUBLE
    assert world.connections() == {}


def test_a_server_that_only_knows_who_might_know_is_no_use(world):
    world.names("far.test TXT for servers that ask in turn")
    world.dns.behave("far.test", "referral")
    assert world.send() == TROUBLE


def test_no_name_server_is_for_now(world):
    world.dns.close()
    try:
        assert world.send() == TROUBLE
    finally:
        world.dns = DnsServer()


@pytest.mark.parametrize("way", ["late", "wrong id first", "no edns", "cut"])
def test_what_dns_says_in_the_end_counts(world, way):
    world.names("far.test MX 10 one.test", "one.test A " + ip(1))
    world.dns.behave("far.test", way)
    world.dns.behave("one.test", way)
    assert world.send()[0] == "K"


def test_a_worse_exchanger_is_better_than_one_without_a_known_address(world):
    world.names("far.test MX 10 lost.test", "far.test MX 20 one.test", "one.test A " + ip(1))
    world.dns.behave("lost.test", "servfail")
    assert world.send()[0] == "K"


def test_one_without_an_address_and_one_that_is_not_known_is_for_now(world):
    world.names("far.test MX 10 none.test", "far.test MX 20 lost.test")
    world.dns.behave("lost.test", "servfail")
    assert world.send() == TROUBLE


# ---- ourselves ----

@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "0.0.0.0"])
@pytest.mark.parametrize("rows", [
    ["far.test MX 10 me.test", "me.test A ADDRESS"],
    ["far.test A ADDRESS"],
    ["far.test MX 10 me.test", "me.test A ADDRESS", "far.test MX 20 one.test",
     "one.test A 127.0.1.1"],
    ["far.test MX 10 me.test", "me.test A ADDRESS", "far.test MX 10 one.test",
     "one.test A 127.0.1.1"],
])
def test_the_best_is_this_host(world, rows, address):
    world.names(*[row.replace("ADDRESS", address) for row in rows])
    assert world.send() == OURSELVES
    assert world.connections() == {}


@pytest.mark.parametrize("address", ["::1", "::", "::ffff:127.0.0.1"])
def test_the_best_is_this_host_by_ipv6(world, address):
    world.others([ip(1)])
    world.names("far.test MX 10 me.test", f"me.test AAAA {address}")
    assert world.send() == OURSELVES


def test_who_is_no_better_than_this_host_is_left_out(world):
    world.serve(2)
    world.serve(3)
    # The only better one does not listen.
    world.names("far.test MX 10 dead.test", "far.test MX 20 me.test", "far.test MX 20 two.test",
                "far.test MX 30 three.test", "me.test A " + ip(1), "me.test A 127.0.0.1",
                "dead.test A " + ip(9), "two.test A " + ip(2), "three.test A " + ip(3))
    for _ in range(4):
        assert world.send() == ("ZSorry, I wasn't able to establish an SMTP connection. "
                                "(#4.4.1)\n")
    assert world.connections() == {}


def test_who_is_better_than_this_host_may_be_unknown_for_now(world):
    world.names("far.test MX 10 lost.test", "far.test MX 20 me.test", "me.test A 127.0.0.1")
    world.dns.behave("lost.test", "servfail")
    assert world.send() == TROUBLE


def test_moreipme_and_notipme_say_who_this_host_is(world):
    world.instance.control("moreipme", f"192.0.2.1\n{ip(2)}\n{ip(1)}\n")
    world.names("far.test MX 10 me.test", "me.test A " + ip(1))
    assert world.send()[0] == "K"  # notipme counts
    world.others([])
    assert world.send() == OURSELVES
    world.names("away.test A 192.0.2.1")
    assert world.send(host="away.test") == OURSELVES
    assert world.send(host="[192.0.2.1]") == OURSELVES
    assert world.connections() == {1: 1}


def test_an_address_that_we_may_only_bind_to_is_not_ours(world):
    """As on hosts that take over the addresses of others."""
    script = ("ip link set lo up && ip address add 192.0.2.7/32 dev lo &&"
              "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind && echo ready && read x && exec \"$@\"")
    unshare = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces for us")

    def report(host):
        done = subprocess.run([*unshare, "sh", "-c", script, "sh",
                               world.instance.home / "bin/qmail-remote", host, "s@me.test",
                               "r@far.test"], input=b"\nSubject: x\n\n", capture_output=True)
        assert done.stdout.startswith(b"ready\n"), done
        return done.stdout.removeprefix(b"ready\n").decode().split("\0")[0]

    assert report("[192.0.2.7]") == OURSELVES
    assert report("[192.0.2.8]").startswith("ZSorry, I wasn't able to establish")


# ---- relays ----

def test_a_relay_may_be_a_name_that_dns_knows(world):
    world.instance.control("smtproutes", f"far.test:relay.test:{world.first.port}\n")
    world.names("relay.test A " + ip(1), "relay.test MX 10 other.test")
    assert world.send()[0] == "K"
    assert sorted(world.dns.asked) == [("relay.test", "A", "udp"), ("relay.test", "AAAA", "udp")]


def test_a_relay_in_etc_hosts_is_not_asked_for(world):
    server = Server()
    world.instance.control("smtproutes", f"far.test:localhost:{server.port}\n")
    assert world.send()[0] == "K"
    assert world.dns.asked == []
    server.close()


def test_a_relay_that_does_not_exist_is_for_now(world):
    world.instance.control("smtproutes", "far.test:relay.test\n")
    assert world.send() == "ZSorry, I couldn't find any host by that name. (#4.1.2)\n"
    world.dns.behave("relay.test", "servfail")
    assert world.send() == "ZDNS lookup of relay.test failed temporarily. (#4.4.3)\n"


def test_a_route_without_a_relay_is_none(world):
    world.instance.control("smtproutes", f"far.test::{world.first.port}\n:192.0.2.1\n")
    world.names("far.test A " + ip(1))
    assert world.send()[0] == "K"


# ---- strangers' names ----

@pytest.mark.parametrize("host", ["x\ny.test", "\x1b[2J.test", "a" * 300, "a..b", "", "%s%n.test",
                                  "b\xfccher.test"])
def test_names_that_cannot_be_hosts(world, host):
    report = world.send(host=host)
    assert report.startswith("DSorry, I couldn't find any host named ")
    assert report.count("\n") == 1 and report.isascii() and report[:-1].isprintable()
    assert len(report) < 1200


# ---- a worker ----

@pytest.fixture
def worker(world, monkeypatch):
    """One qmail-remote that takes job after job: worker() is the last one's outcome."""
    monkeypatch.setenv("DNSCACHEIP", world.dns.cacheip)
    peer = jobs.Peer([world.instance.home / "bin/qmail-remote", "--jobs"])
    number = 0

    def deliver(host="far.test"):
        nonlocal number
        number += 1
        peer.send(*jobs.job(number, MESSAGE, b"s@me.test", [(1, b"r@far.test")],
                            host=host.encode()))
        said, outcomes = peer.result()
        assert said == number
        return outcomes[1]
    yield deliver
    peer.close()


ACCEPTED = ("K", f"{ip(1)} accepted message.\nRemote host said: 250 taken\n")


def test_a_worker_asks_once_for_what_it_needs_often(world, worker):
    world.names("far.test MX 10 one.test", "one.test A " + ip(1))
    for _ in range(5):
        assert worker() == ACCEPTED
    assert [a for a in world.dns.asked if a[1] == "MX"] == [("far.test", "MX", "udp")]
    assert len(world.dns.asked) == 3


def test_a_worker_asks_once_for_a_relay(world, worker):
    world.instance.control("smtproutes", f"far.test:relay.test:{world.first.port}\n")
    world.names("relay.test A " + ip(1))
    for _ in range(3):
        assert worker() == ACCEPTED
    assert len(world.dns.asked) == 2


def test_a_worker_keeps_nothing_for_another_host(world, worker):
    world.names("far.test A " + ip(1))
    assert worker() == ACCEPTED
    # A literal, and then a host without a name.
    assert worker(f"[{ip(1)}]") == ACCEPTED
    assert worker("")[1].startswith("Sorry, I couldn't find any host named .")
    assert worker("other.test") == ("D", "Sorry, I couldn't find any host named other.test. "
                                         "(#5.1.2)\n")
    assert worker() == ACCEPTED


def test_who_we_are_counts_at_once(world, worker):
    world.names("far.test A " + ip(1))
    assert worker() == ACCEPTED
    world.others([])
    assert "D" + worker()[1] == OURSELVES
    world.others([ip(1)])
    assert worker() == ACCEPTED


# ---- all of it ----

def test_mail_leaves_for_where_dns_says_and_comes_back_where_it_says_no(bin):
    """From a client's session to the other host's, and the bounce."""
    house = House(bin)
    with DnsServer() as dns:
        house.env = {"DNSCACHEIP": dns.cacheip}
        house.add_domain()
        server = Server(host=ip(1))
        house.control("smtproutes", f"::{server.port}\n")
        house.control("notipme", ip(1) + "\n")
        dns.add("far.test", "MX", "10 one.test")
        dns.add("one.test", "A", ip(1))
        house.start()
        try:
            house.send(b"Subject: out\r\n\r\nhello\r\n", to=["r@far.test"])
            wait_for(lambda: server.data, 30, "the message")
            assert b"Subject: out\r\n" in server.data[0]
            house.send(b"Subject: lost\r\n\r\nhello\r\n", to=["r@none.test"])
            bounce, = house.wait_messages(1, user="ana")
            assert b"Sorry, I couldn't find any host named none.test. (#5.1.2)" in bounce
        finally:
            house.stop()
            house.remove()
            server.close()
