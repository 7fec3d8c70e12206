"""The examples of the manual pages, typed as they stand there: ours and
Debian's programs do the same. Accounts, hosts and programs that an example
takes for granted stand in a folder of the test, or are others' names."""

import os
import re
import signal
import socket
import subprocess

import pytest

import manual
from daemontools import DEBIAN, keeper, run, write_script  # noqa: F401 (fixture)
from test_covered import source
from waiting import wait_for

CONF = "test_service_conf.py::"
STUBS = {"badly-behaved": "echo behaved $#", "report": "echo reported",
         "make": "echo making; echo warning >&2", "olddaemon": "echo daemon",
         "tcpd": "echo $0 $*", "qmail-smtpd": "echo 220 smtp", "popd": "echo +OK",
         "date": "echo Wed Nov 25", "who": "echo root", "qmail-popup": "echo +OK; read x; echo -ERR"}

# By program and first words: what is put for what in the example, and what it
# says (a pattern).
TYPED = {
    ("fghack", "fghack"): ({"/usr/sbin/": ""}, r"daemon\n"),
    ("multilog", "multilog t ./main"): ({}, ""),
    ("multilog", "multilog t '!gzip"): ({}, ""),
    ("pgrphack", "exec"): ({}, r"behaved 0\n"),
    ("setlock", "setlock"): ({"/var/run/": ""}, r"reported\n"),
    ("tai64n", "make"): ({}, r"(@[0-9a-f]{24} (making|warning)\n){2}"),
    ("tai64nlocal", "tai64nlocal"): ({"/service/smtpd/log/main/": ""},
                                     r"2009-02-13 23:31:30\.000000000 one\n"),
    ("argv0", "argv0"): ({"-sh": "-sh -c 'echo $0'"}, r"-sh\n"),
    ("svc", "svc -a"): ({"/service/": ""}, ""),
    ("svc", "svc -t"): ({"/service/": ""}, ""),
    ("svok", "svok"): ({"/service/": ""}, r"nobody watches smtpd\n"),
    ("tcprules", "tcprules"): ({"/etc/": "", "2001:db8:17::/48:allow,RELAYCLIENT=\"\"\n": ""}, ""),
    ("tcprulescheck", "$"): ({"/etc/": "", "$ ": "", "\nrule ": "\n# ", "\nset ": "\n# ",
                              "\nallow ": "\n# "},
                             r"rule 127\.:\nset environment variable RELAYCLIENT=\nallow connection\n"),
}
# Servers: what is put for what, and what a client hears.
SERVERS = {
    ("envdir", "echo 20"): ({"0 110": "-1RHl0 127.0.0.1 0"}, b"+OK\n"),
    ("softlimit", "softlimit"): ({"-v 0 25": "-1RHl0 127.0.0.1 0"}, b"220 smtp\n"),
    ("argv0", "tcpserver"): ({"0 ftp": "-1RHl0 127.0.0.1 0"}, b" -l\n"),
    ("date@", "tcpserver"): ({"0 13": "-1 127.0.0.1 0"}, b"Wed Nov 25\n"),
    ("who@", "tcpserver"): ({"0 11": "-1 127.0.0.1 0"}, b"root\n"),
    ("fixcrio", "tcpserver"): ({"0 smtp": "-1 127.0.0.1 0"}, b"220 smtp\r\n"),
    ("recordio", "tcpserver"): ({"0 pop3": "-1 127.0.0.1 0"}, b"+OK\n-ERR\n"),
    ("tcpserver", "tcpserver"): ({}, b"TCPREMOTEIP=127.0.0.1\n"),
    ("supervise", "#!/bin/sh"): ({"-v 0 25": "-1RHl0 127.0.0.1 0"}, b"220 smtp\n"),
}
# Clients: {port} is one where somebody says hello.
CLIENTS = {
    ("mconnect", "("): ({"mail.example.org": "127.0.0.1 {port}"}, r"hello\n"),
    ("tcpcat", "tcpcat"): ({"time.example.org 13": "127.0.0.1 {port}"}, r"hello\n"),
    ("tcpclient", "tcpclient"): ({"mail.example.org smtp": "127.0.0.1 {port}"}, r"hello\n"),
}
# Those that another test types.
ELSEWHERE = {
    ("envuidgid", "envuidgid"): "differential/test_tcpserver_tables.py::"
                                "test_users_and_groups_are_those_of_the_original",
    ("multilog", "#!/bin/sh"): "differential/test_howto.py::test_services_of_2003_run_as_typed",
    ("setuidgid", "setuidgid qmaill"): "differential/test_howto.py::test_services_of_2003_run_as_typed",
    ("setuidgid", "setuidgid :"): "test_daemontools.py::test_setuidgid_takes_numbers",
    ("rblsmtpd", "tcpserver"): "test_rblsmtpd.py::test_behind_tcpserver",
    ("rblsmtpd", "192.0.2.:"): "test_rblsmtpd.py::test_behind_tcpserver",
    ("rblsmtpd", "rblsmtpd: "): "test_rblsmtpd.py::test_C_lets_through_and_c_defers_when_dns_fails",
    ("tcpserver", "exec env"): "test_tcpserver_proxy.py::"
                               "test_limits_are_those_of_the_announced_client",
    ("tcpserver", "exec tcpserver"): "differential/test_howto.py::test_services_of_2003_run_as_typed",
    ("readproctitle", "svscan"): "test_daemontools.py::test_readproctitle_shows_the_last_bytes",
    ("svscan", "ln"): "test_daemontools_svscan.py::test_a_new_directory_is_found_within_five_seconds",
    ("svscan", "cd"): "test_daemontools_svscan.py::test_a_service_that_is_gone_is_forgotten",
    ("svscanboot", "SV"): "test_daemontools_svscan.py::"
                          "test_svscanboot_becomes_svscan_and_shows_its_complaints",
    ("svscanboot", "ps"): "test_daemontools_svscan.py::"
                          "test_svscanboot_becomes_svscan_and_shows_its_complaints",
    ("svstat", "$"): "test_daemontools_supervise.py::test_a_service_in_a_crash_loop_says_so",
    ("recordio", "4711"): "test_ucspi_tools.py::test_recordio_shows_what_the_original_shows",
    ("tcplookup", "$"): "differential/test_exit_codes.py::test_tcplookup_answers_what_it_is_asked",
    ("qmail-delivery-conf", "qmail-delivery-conf"): CONF + "test_a_house_of_such_services_alone",
    ("qmail-smtpd-conf", "qmail-smtpd-conf"): CONF + "test_scripts_add_rules_that_count_and_make_compiles",
    ("qmail-smtpd-conf", "cd"): CONF + "test_a_copy_with_another_port_and_a_link_is_another_service",
}
TABLES = TYPED, SERVERS, CLIENTS, ELSEWHERE


def example(key):
    """The one example that begins so, as it is typed."""
    program, first = key
    found = [text for text in manual.examples(manual.pages()[program]) if text.startswith(first)]
    assert len(found) == 1, (key, found)
    return found[0]


def test_every_example_of_every_page_is_in_one_of_the_tables():
    keys = [key for table in TABLES for key in table]
    assert len(keys) == len(set(keys))
    typed = [example(key) for key in keys]
    missing = {text for text_of in manual.pages().values() for text in manual.examples(text_of)
               if text not in typed}
    assert not missing
    for test in ELSEWHERE.values():
        assert source(test), test


@pytest.fixture
def desk(keeper, bin):
    """Where both are typed: {folder of programs: (directory, environment)}."""
    made = {}
    for name, folder in ("ours", bin), ("debian", DEBIAN):
        place = keeper.dir / name
        for stub, script in STUBS.items():
            write_script(place / "stubs" / stub, script + "\n")
        (place / "env").mkdir()
        (place / "smtpd").mkdir()
        # tai64nlocal's and tcprulescheck's.
        (place / "current").write_bytes(b"@40000000499602dc00000000 one\n")
        run(bin / "tcprules", place / "tcp.smtp.cdb", place / "tmp",
            input=b'127.:allow,RELAYCLIENT=""\n')
        made[folder] = place, {"PATH": f"{place}/stubs:{folder}:/usr/bin:/bin", "TZ": "UTC"}
    return made


def replaced(key, swaps, **values):
    text = example(key)
    for old, new in swaps.items():
        assert old in text, (key, old)
        text = text.replace(old, new.format(**values) if values else new)
    return text


def typed(place, env, text):
    return subprocess.run(["sh", "-c", text], cwd=place, env=env, capture_output=True, text=True,
                          input="one\ntwo delivery 1: failure: x\n", timeout=60)


def files(place):
    """What it has left, but for labels and times."""
    found = {}
    for path in sorted(place.rglob("*")):
        if path.is_file() and "stubs" not in path.parts:
            text = re.sub(rb"@[0-9a-f]{24}", b"@", path.read_bytes())
            found[str(path.relative_to(place))] = text, oct(path.stat().st_mode)
    return found


@pytest.mark.parametrize("key", TYPED, ids=" ".join)
def test_what_is_typed_says_and_leaves_the_same(desk, key):
    swaps, says = TYPED[key]
    seen = []
    for place, env in desk.values():
        done = typed(place, env, replaced(key, swaps))
        assert re.fullmatch(says, done.stdout), done
        stdout = re.sub(r"@[0-9a-f]{24}", "@", done.stdout)
        seen.append((done.returncode, sorted(stdout.splitlines()), bool(done.stderr), files(place)))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("key", SERVERS, ids=" ".join)
def test_a_server_that_is_typed_serves_the_same(desk, keeper, key):
    swaps, hears = SERVERS[key]
    seen = []
    for place, env in desk.values():
        process = keeper.start("sh", "-c", "exec 3>&1\n" + replaced(key, swaps), cwd=place, env=env,
                               stdout=subprocess.PIPE, start_new_session=True)
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.shutdown(socket.SHUT_WR)
            said = b""
            while more := client.recv(4096):
                said += more
        assert hears in said, said
        lines = [line for line in said.splitlines() if b"PORT" not in line and b"PATH" not in line and
                 not line.startswith((b"PWD=", b"OLDPWD="))]
        seen.append([line.replace(bytes(place), b"PLACE") for line in sorted(lines)])
        os.killpg(process.pid, signal.SIGTERM)  # the server, not only its shell
        process.wait(10)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("key", CLIENTS, ids=" ".join)
def test_a_client_that_is_typed_hears_the_same(desk, keeper, key):
    swaps, says = CLIENTS[key]
    place, env = next(iter(desk.values()))
    server = keeper.start("tcpserver", "-1HRl0", "127.0.0.1", "0", "echo", "hello", env=env,
                          stdout=subprocess.PIPE)
    port = int(server.stdout.readline())
    codes = set()
    for place, env in desk.values():
        done = typed(place, env, replaced(key, swaps, port=port))
        assert re.fullmatch(says, done.stdout), done
        codes.add(done.returncode)
    assert codes == {0}
