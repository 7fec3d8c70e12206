"""Every option, variable, signal and exit code of the manual pages has a test
that names it."""

import ast
import functools
import pathlib
import re

import pytest

import manual
from covered import COVERED

SYSTEM = pathlib.Path(__file__).resolve().parents[1]


@functools.cache
def definitions(file):
    """{name: source} of the functions, classes and constants at the top of a
    file of tests; decorators, with the cases of a test, belong to it."""
    path = SYSTEM / file
    if not path.exists():
        return {}
    text = path.read_text()
    lines = text.splitlines()
    found = {}
    for node in ast.parse(text).body:
        names = [node.name] if hasattr(node, "name") else \
            [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        for name in names:
            found[name] = "\n".join(lines[first - 1:node.end_lineno])
    return found


def source(test):
    """A test's source and that of the constants it uses; None if there is no
    such one."""
    file, name = test.split("::")
    known = definitions(file)
    if name not in known:
        return None
    constants = [known[word] for word in set(re.findall(r"\b[A-Z][A-Z_0-9]+\b", known[name]))
                 if word in known]
    return "\n".join([known[name], *constants])


def named(program, promise, text):
    """What the source of a test has if it names this."""
    kind, _, what = promise.partition(" ")
    if kind == "exit" and what != "child" and re.search(rf'\("{program}", \d', text):
        return rf'\("{program}", {what}\b'  # a table of cases
    if kind == "exit":
        return r"exit [\d{]" if what == "child" else rf"(?<![\w.-]){what}\b"
    if kind == "action":
        return rf"""["']{re.escape(what)}"""
    if kind == "command":
        return rf"""["']{what}\b"""
    if promise == "SIGTERM":
        return r"SIGTERM|terminate\(\)"
    if promise.startswith("$"):
        return rf"\b{promise[1:]}\b"
    if promise.startswith("-"):
        return rf"-[0-9A-Za-z]*{promise[1:]}"
    return re.escape(promise)


@pytest.mark.parametrize("program", manual.pages())
def test_each_promise_of_the_manual_page_has_a_test_that_names_it(program):
    table = COVERED.get(program, {})
    missing = []
    for promise in sorted(manual.promises(manual.pages()[program])):
        if promise not in table:
            missing.append(f'        "{promise}": TEST,')
            continue
        text = source(table[promise])
        if text is None:
            missing.append(f"{promise}: there is no {table[promise]}")
        elif not re.search(named(program, promise, text), text):
            missing.append(f"{promise}: {table[promise]} does not name it")
    assert not missing, f"covered.py lacks, for {program}:\n" + "\n".join(missing)


def test_the_table_has_nothing_that_no_page_promises():
    for program, table in COVERED.items():
        promised = manual.promises(manual.pages()[program])
        assert set(table) <= promised, (program, set(table) - promised)


def test_promises_are_found_in_every_form_that_pages_have():
    text = """\
.Sh NAME
.Nm x
.Sh SYNOPSIS
.Nm
.Op Fl abC
.Op Fl t Ar seconds
.Cm peer
.Sh DESCRIPTION
.Bl -tag
.It Fl n Ar num
like
.Fl z
of another
.It Li \\&! Ns Ar processor
.It Li up (pid
.It Dv SIGALRM
.El
It looks at
.Ev $HOME Ns / ,
.Ev ONE , TWO
.Sh EXIT STATUS
.Bl -tag
.It 0
on descriptor 2
.It 100
see
.Xr other 8
.El
otherwise its code.
.Sh SEE ALSO
"""
    assert manual.promises(text) == {
        "-a", "-b", "-C", "-t", "-n", "command peer", "action !", "SIGALRM", "$HOME", "$ONE", "$TWO",
        "exit 0", "exit 100", "exit child"}
