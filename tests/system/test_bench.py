"""The bench's own arithmetic, parsers and checks, on recorded samples.

Without these a wrong figure, or a check that sees nothing, would look right.
"""

import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench"))

import account  # noqa: E402
import arrivals  # noqa: E402
import calls  # noqa: E402
import content  # noqa: E402
import durability  # noqa: E402
import figures  # noqa: E402
import generator  # noqa: E402
import postfix  # noqa: E402
import proof  # noqa: E402
import service  # noqa: E402

SAMPLES = ROOT / "tests/bench/samples"


# ---- figures ----

@pytest.mark.parametrize("values, percent, want", [
    ([5], 50, 5), ([5], 99, 5), ([1, 2, 3, 4], 50, 2), ([4, 3, 2, 1], 99, 4),
    (range(1, 101), 99, 99), (range(1, 101), 50, 50), (range(1, 1001), 99, 990),
])
def test_percentiles_are_values_that_were_measured(values, percent, want):
    assert figures.percentile(values, percent) == want


def figure(ours, peer, **more):
    return figures.Figure("key", "words", ours, peer, **more)


def test_the_ratio_is_the_median_of_the_pairs():
    # The machine was half as fast during the second pair: that cancels out.
    assert figure([200, 100, 220], [100, 50, 100]).ratio() == 2.0
    assert figure([200], []).ratio() is None


def test_a_wide_spread_is_said():
    assert figure([10, 12, 11], [10, 10, 10]).all_notes() == []
    assert figure([10, 13, 11], [10, 10, 10]).all_notes() == ["wide: 1.00 to 1.30"]


def test_a_table_row_has_rates_ratio_and_cpu():
    text = figures.table([figure([1234, 1300], [617, 650], cpu_ours=[1.0, 1.0],
                                 cpu_peer=[2.5, 2.5])])
    assert text.splitlines()[-1] == \
        "| words | 1,267/s | 634/s | 2.00 | 1.00 | 2.50 | 0.40 |  |"


def test_the_record_is_appended_to_and_compared_with_its_last_line(tmp_path):
    path = tmp_path / "ratios.tsv"
    assert figures.read_record(path) == {}
    figures.append_record(path, [figure([100], [100])], "aaaaaaa")
    figures.append_record(path, [figure([300], [100], cpu_ours=[1.5],
                                        memory=12.34)], "bbbbbbb")
    lines = path.read_text().splitlines()
    assert lines[0].split("\t") == figures.COLUMNS and len(lines) == 3
    assert lines[2].split("\t")[1:] == \
        ["bbbbbbb", "key", "300", "100", "3.000", "1.5", "-", "12.3"]
    text = figures.comparison([figure([150], [100])], figures.read_record(path))
    assert text.split() == "key 3.00 at bbbbbbb, now 1.50 (x 0.50)".split()


# ---- what the kernel says ----

def test_usage_private_memory_and_busy_time_are_read():
    assert account.parse_usage("usage_usec 1500\nuser_usec 1000\n") == 1500
    assert account.parse_private(
        "Rss: 900 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty:  36 kB\n"
        "Shared_Clean: 99 kB\n") == 40
    # Idle and waiting for a disk are not work; irq and softirq are.
    assert account.parse_busy("cpu 1 2 3 1000 1000 4 5 0 0 0") == \
        15 * 1000 / account.TICK


def test_inotify_events_are_taken_apart():
    one = arrivals.EVENT.pack(1, arrivals.MOVED_TO, 7, 16) + b"17.R0.vm" + bytes(8)
    two = arrivals.EVENT.pack(2, arrivals.CREATE, 0, 0)
    assert arrivals.parse_events(one + two) == [
        (1, arrivals.MOVED_TO, "17.R0.vm"), (2, arrivals.CREATE, "")]


def test_arrivals_are_counted_by_name_or_by_folder(tmp_path):
    for box in ("a", "b"):
        (tmp_path / box).mkdir()
    folders = [tmp_path / "a", tmp_path / "b"]
    with arrivals.Arrivals(folders) as names, \
            arrivals.Arrivals(folders, by_folder=True) as boxes:
        (tmp_path / "a/1").write_text("")
        (tmp_path / "a/2").write_text("")
        (tmp_path / "b/3").write_text("")
        assert names.wait(3) and boxes.wait(2)
        assert sorted(names.times) == ["1", "2", "3"] and len(boxes.times) == 2


# ---- the generator ----

@pytest.mark.parametrize("stream, count, want", [
    (generator.Stream(10, False), 3000, [3000]),
    (generator.Stream(10, True), 3000, [1000, 1000, 1000]),
    (generator.Stream(1, True), 250, [100, 100, 50]),
    (generator.Stream(50, True), 3000, [3000]),
])
def test_batches_make_a_hundred_messages_a_connection(stream, count, want):
    assert list(stream.batches(count)) == want


def test_a_mix_sends_every_message():
    streams = generator.mix(10)
    assert [s.sessions for _, s in streams] == [6, 3, 1]
    for count in (10, 99, 1000):
        assert sum(generator.shares(streams, count)) == count


def test_the_sinks_counters_are_read():
    text = b"sess=1 quit=0 mesg=9\rsess=1 quit=1 mesg=10\rsess=2 qu"
    assert generator.COUNTERS.findall(text)[-1][2] == b"10"


def test_a_dump_gives_each_recipient_of_each_message():
    block = ("X-Mail-Args: <a@b>\n", "X-Rcpt-Args: <2x@r>\n", "X-Rcpt-Args: <x@r>\n",
             "From: <a@b>\n", "Message-Id: <%s>\n", "\n", "text\n")
    lines = [line.replace("%s", token) for token in ("1", "2") for line in block]
    assert proof.parse_dump(lines) == [("1", "2x@r"), ("1", "x@r"),
                                       ("2", "2x@r"), ("2", "x@r")]


def test_postfix_gets_every_box_and_route(tmp_path, monkeypatch):
    monkeypatch.setattr(postfix.os, "chown", lambda *_: None)
    made = postfix.Postfix(tmp_path / "p", ["luis", "2luis"], {".dead.test": 7})
    assert (made.top / "etc/boxes").read_text() == \
        "luis@example.test luis/\n2luis@example.test 2luis/\n"
    assert (made.top / "etc/routes").read_text() == ".dead.test smtp:[127.0.0.1]:7\n"
    assert made.maildir("2luis").is_dir()


# ---- what arrived ----

SENT = (b"From: <ana@example.test>\nTo: <luis@example.test>\n"
        b"Date: Wed, 25 Nov 2026 06:00:00 +0000 (UTC)\n"
        b"Message-Id: <%s@vm>\n\n0XXX\n1XXX\n")
HEAD = (b"Return-Path: <ana@example.test>\nDelivered-To: luis@example.test\n"
        b"Received: (qmail 7 invoked from network); 25 Nov 2026\n"
        b"Received: from unknown (HELO vm) (127.0.0.1)\n  by mail.example.test "
        b"with SMTP; 25 Nov 2026\n")
TEMPLATE = SENT % b"00aa.0003.0001"


def folder(tmp_path, *messages):
    for number, message in enumerate(messages):
        (tmp_path / str(number)).write_bytes(message)
    return tmp_path


def test_what_was_sent_is_recognised(tmp_path):
    found = content.check_folder(
        folder(tmp_path, HEAD + SENT % b"1.2.3", HEAD + SENT % b"1.2.4"),
        [TEMPLATE], [2])
    assert found == {b"1.2.3@vm", b"1.2.4@vm"}


@pytest.mark.parametrize("messages, what", [
    ([HEAD + SENT % b"1"], "messages, sent were"),
    ([HEAD + SENT % b"1", HEAD + SENT % b"1"], "twice"),
    ([HEAD + SENT % b"1", HEAD + (SENT % b"2").replace(b"1XXX", b"1XYX")], "1XYX"),
    ([HEAD + SENT % b"1", HEAD + (SENT % b"2")[:-5]], "lines, sent were"),
    ([HEAD + SENT % b"1", HEAD + SENT % b"2" + b"X" * 100], "of that size"),
    ([HEAD + SENT % b"1", SENT % b"2"], "0 Received"),
    ([HEAD + SENT % b"1", HEAD + HEAD + SENT % b"2"], "2 Received"),
    ([HEAD + SENT % b"1", b"X-New: 1\n" + HEAD + SENT % b"2"], "added"),
    ([HEAD + SENT % b"1", b""], "begin where"),
])
def test_whatever_is_not_as_it_was_sent_is_said(tmp_path, messages, what):
    with pytest.raises(content.Wrong, match=re.escape(what)):
        content.check_folder(folder(tmp_path, *messages), [TEMPLATE], [2])


# ---- reading strace ----

def test_calls_are_put_together_from_their_two_lines():
    found = calls.parse([
        '7 fsync(6</q/new/1> <unfinished ...>\n',
        '8 openat(3</q>, "a, \\"b\\"", O_RDONLY) = -1 ENOENT (No such file)\n',
        '9 +++ exited with 0 +++\n',
        '9 --- SIGCHLD {si_signo=SIGCHLD} ---\n',
        '7 <... fsync resumed>)                = 0\n',
        '8 exit_group(0)                       = ?\n'])
    assert [(c.pid, c.name, c.ok, c.begin, c.end) for c in found] == [
        (8, "openat", False, 1, 1), (7, "fsync", True, 0, 4),
        (8, "exit_group", False, 5, 5)]
    assert calls.first_descriptor(found[1].args) == ("6", "/q/new/1")


@pytest.mark.parametrize("args, want", [
    ('3</house>, "queue/new/1", 4</house/x>, "../y", RENAME_NOREPLACE',
     ["/house/queue/new/1", "/house/y"]),
    ('AT_FDCWD</home>, "tmp/1", AT_FDCWD</home>, "new/1"', ["/home/tmp/1", "/home/new/1"]),
    ('"incoming/1", "active/1"', ["/spool/incoming/1", "/spool/active/1"]),
    ('"/a/b"', ["/a/b"]),
    ('3</house>, "queue/new/1", 0', ["/house/queue/new/1"]),
])
def test_paths_are_made_absolute(args, want):
    assert calls.paths(args, "/spool") == want


def test_sockets_and_deleted_files_are_descriptors_too():
    assert calls.first_descriptor('1<TCP:[127.0.0.1:25->127.0.0.1:99]>, "250"') == \
        ("1", "TCP:[127.0.0.1:25->127.0.0.1:99]")
    assert calls.first_descriptor('5</m/tmp/1>(deleted), "x"') == ("5", "/m/tmp/1")


def test_calls_are_counted_by_program_through_fork_and_exec():
    lines = ['1 clone(flags=SIGCHLD) = 2\n', '2 getpid() = 2\n',
             '2 execve("/bin/qmail-local", ["qmail-local"], 0x5) = 0\n',
             '2 fsync(3</x>) = 0\n', '2 fsync(3</x>) = -1 EIO (error)\n']
    costs, programs = calls.count(calls.parse(lines), {1: ("qmail-lspawn", "/")}, 2)
    assert costs == {"forks": 0.5, "execs": 0.5, "syncs": 0.5, "calls": 2.5}
    assert programs["qmail-local"] == {"fsync": 1.0}
    assert programs["qmail-lspawn"] == {"clone": 0.5, "getpid": 0.5, "execve": 0.5}


# ---- promises and syncs: recorded runs of three messages ----

MODES = {"log": "journal", "files": "posix"}


def judged(lines, mode):
    story = durability.Story(calls.parse(lines))
    answers, early = durability.check_answers(story, "/house/queue", mode)
    marks, loose = durability.check_deliveries(
        story, "/house/queue", "/house/vpopmail", mode, mode)
    return answers, early, marks, loose


def sample(name):
    return (SAMPLES / f"{name}.strace").read_text().splitlines()


def without(lines, pattern):
    """As if these calls had not been made."""
    gone = {n for call in calls.parse(lines)
            if re.search(pattern, f"{call.name}({call.args}")
            for n in (call.begin, call.end)}
    assert gone
    return [line for n, line in enumerate(lines) if n not in gone]


@pytest.mark.parametrize("name", MODES)
def test_what_is_synced_before_it_is_promised_passes(name):
    answers, early, marks, loose = judged(sample(name), MODES[name])
    # A 250 each; a worker's success, a D and (files) a removal each.
    assert (answers, early, loose) == (3, [], [])
    assert marks >= 6


# What is left out of the recorded run, and what must be found then.
@pytest.mark.parametrize("name, pattern, wrong_answers, wrong_marks", [
    ("log", r"^fdatasync\(.*/queue/log/", 3, 0),
    ("log", r"^pwritev\(.*/queue/log/", 3, 0),
    ("log", r"^fsync\(.*/Maildir/new/", 0, 6),
    ("log", r"^write\(.*/Maildir/tmp/", 0, 3),
    ("files", r"^fsync\(.*/queue/new/\d+/", 3, 0),
    ("files", r"^fsync\(\d+</house/queue/new/\d+>", 3, 0),
    ("files", r"^renameat2\(.*queue/new/", 3, 0),
    ("files", r"^fsync\(.*/Maildir/tmp/", 0, 6),
    ("files", r"^fsync\(.*/Maildir/new>", 0, 6),
])
def test_a_missing_sync_is_found(name, pattern, wrong_answers, wrong_marks):
    _, early, _, loose = judged(without(sample(name), pattern), MODES[name])
    assert len(early) == wrong_answers
    assert len(loose) >= wrong_marks and bool(loose) == bool(wrong_marks)


@pytest.mark.parametrize("name", MODES)
def test_a_failed_sync_covers_nothing(name):
    lines = [re.sub(r"(f(?:data)?sync(?: resumed)?[(>].*\)) += 0$",
                    r"\1 = -1 EIO (Input/output error)", line)
             for line in sample(name)]
    _, early, _, loose = judged(lines, MODES[name])
    assert len(early) == 3 and len(loose) >= 6


def test_where_no_journal_orders_them_names_need_syncs_of_their_own():
    _, early, _, loose = judged(sample("log"), "posix")
    assert early == []  # a segment's name is older than the run
    assert len(loose) >= 6


def moved_first(lines, pattern):
    """As if these calls had come before everything else in the run."""
    chosen = [n for call in calls.parse(lines)
              if re.search(pattern, f"{call.name}({call.args}")
              for n in sorted({call.begin, call.end})]
    assert chosen
    at = min(n for n, line in enumerate(lines) if "sync(" in line)
    rest = [line for n, line in enumerate(lines[at:], at) if n not in chosen]
    early = [n for n in chosen if n < at]
    return (lines[:at] + [lines[n] for n in chosen if n not in early] + rest)


@pytest.mark.parametrize("name, pattern, answers", [
    ("log", r'^sendto\(.*TCP.*"250 ok', True),
    ("files", r'^sendto\(.*TCP.*"250 ok', True),
    ("files", r'^pwrite64\(.*, "D", 1, ', False),
])
def test_a_promise_that_comes_first_is_found(name, pattern, answers):
    _, early, _, loose = judged(moved_first(sample(name), pattern), MODES[name])
    assert early if answers else loose


def test_a_mark_of_the_log_is_told_by_its_place():
    file = durability.File("/house/queue/log/0", -1)
    file.ranges = [(0, 100, "a"), (100, 200, "b"), (0, 150, "c")]
    assert [file.token_at(n) for n in (0, 149, 150, 200)] == ["c", "c", "b", None]


def test_a_name_seen_before_its_rename_returns_is_the_same_file():
    lines = [
        '1 openat(3</h>, "queue/pid/1/7", O_RDWR|O_CREAT|O_EXCL, 0660) = 4</h/queue/pid/1/7>',
        '1 write(4</h/queue/pid/1/7>, "Message-Id: <t@x>", 17) = 17',
        '1 renameat2(3</h>, "queue/pid/1/7", 3</h>, "queue/new/1/7", 1 <unfinished ...>',
        '2 fsync(4</h/queue/new/1/7>) = 0',
        '1 <... renameat2 resumed>) = 0']
    story = durability.Story(calls.parse(lines))
    assert story.files["/h/queue/pid/1/7"] is story.files["/h/queue/new/1/7"]
    assert len(story.files["/h/queue/new/1/7"].syncs) == 1


# ---- the whole of it, on this machine ----

@pytest.mark.soak
@pytest.mark.root
def test_every_build_that_does_not_sync_is_found_out():
    assert proof.self_test() == 0


# ---- tools beside Debian's ----

def test_anonymous_memory_is_read():
    assert service.parse_anonymous(
        "Private_Dirty: 900 kB\nAnonymous:  36 kB\nAnonHugePages:  5 kB\n") == 36


@pytest.mark.parametrize("old, current, labels, complete", [
    (["a\nb\n"], "c\n", False, True), ([], "a\nb\nc\n", False, True),
    (["a\n"], "c\n", False, False), (["b\na\n"], "c\n", False, False),
    ([], "a\nb\n", False, False), ([], "a\nb\nc\nd\n", False, False),
    (["x" * 26 + "a\n"], "y" * 26 + "b\n" + "z" * 26 + "c\n", True, True),
])
def test_a_log_that_lacks_a_line_is_found_out(tmp_path, old, current, labels, complete):
    (tmp_path / "lines").write_text("a\nb\nc\n")
    (tmp_path / "main").mkdir()
    for number, text in enumerate(old):
        (tmp_path / f"main/@{number}.s").write_text(text)
    (tmp_path / "main/current").write_text(current)
    assert service.log_is_complete(tmp_path / "main", tmp_path / "lines", labels) == complete
