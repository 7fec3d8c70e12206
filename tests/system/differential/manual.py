"""What the manual pages of the tools promise, read from their mdoc sources.

A promise is a string, as the table of covered.py has it:

    -x           an option
    action t     an argument of one character that means something (multilog)
    command peer an argument that says what to do (tcplookup)
    $NAME        an environment variable
    SIGTERM      a signal that has a paragraph of its own
    exit 111     an exit code
    exit child   the exit code is that of another program
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDERS = ["daemontools", "ucspi", "service"]


def pages(folders=FOLDERS):
    """{program: mdoc source}, of all pages in these folders of tools/."""
    found = {}
    for folder in folders:
        for path in sorted((ROOT / "tools" / folder).glob("*.[1-9]")):
            assert path.stem not in found, f"two pages for {path.stem}"
            found[path.stem] = path.read_text()
    return found


def section(text, name):
    """The lines of a section; nothing if the page has no such one."""
    match = re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    return match[1] if match else ""


def options(text):
    """Fl nNx is three of them: no tool here has an option of two letters."""
    places = re.findall(r"^\.(?:Nm .*|Op|It|Fl)(.*)$", section(text, "SYNOPSIS"), re.M)
    # An item and not the words of one: others' options are named there, too.
    places += re.findall(r"^\.It( Fl.*)$", section(text, "DESCRIPTION"), re.M)
    for line in places:
        for words in re.findall(r"\bFl ((?:\w+)(?: , \w+)*)", line):
            for letter in re.sub(r"[ ,]", "", words):
                yield f"-{letter}"


def actions(text):
    for word in re.findall(r"^\.It Li (\S+)", section(text, "DESCRIPTION"), re.M):
        word = word.replace(r"\&", "")
        if len(word) == 1:
            yield f"action {word}"


def commands(text):
    for word in re.findall(r"^\.Cm (\w+)", section(text, "SYNOPSIS"), re.M):
        yield f"command {word}"


def variables(text):
    for line in re.findall(r"\bEv ([^\n]*)", text):
        for name in re.findall(r"^\$?([A-Z][A-Z0-9_]+)((?: , \$?[A-Z0-9_]+)*)", line):
            for each in [name[0], *name[1].split(" , ")]:
                if each:
                    yield f"${each.lstrip('$')}"


def signals(text):
    for name in re.findall(r"^\.It Dv (SIG[A-Z0-9]+)", text, re.M):
        yield name


def exits(text):
    status = re.sub(r"^\.Xr .*|\bdescriptor \d", "", section(text, "EXIT STATUS"), flags=re.M)
    for code in re.findall(r"(?<![\w.])\d{1,3}\b", status):
        yield f"exit {int(code)}"
    if re.search(r"\bcode\b|\bthat of\b", status):
        yield "exit child"


def examples(text):
    """What stands in EXAMPLES as it is typed: [text]."""
    found = []
    for line, block in re.findall(r"^\.Dl (.*)|^\.Bd -literal.*\n((?:.*\n)*?)\.Ed",
                                  section(text, "EXAMPLES"), re.M):
        typed = line + "\n" if line else block
        for escape, byte in ((r"\(aq", "'"), (r"\e", "\\"), (r"\&", "")):
            typed = typed.replace(escape, byte)
        found.append(typed)
    return found


def promises(text):
    """All that a page promises, each once."""
    return {promise for kind in (options, actions, commands, variables, signals, exits)
            for promise in kind(text)}
