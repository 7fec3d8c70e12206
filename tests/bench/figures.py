"""The harness's arithmetic: medians, ratios, spreads, tables, the record."""

import dataclasses
import datetime
import math
import pathlib
import statistics

WIDE = 1.25  # largest pair's ratio by the smallest: above, it is said
COLUMNS = "date commit load ours peer ratio cpu_ours cpu_peer memory".split()


def median(values):
    return statistics.median(values)


def percentile(values, percent):
    """Nearest rank: a value that was measured."""
    ordered = sorted(values)
    rank = max(1, math.ceil(len(ordered) * percent / 100))
    return ordered[rank - 1]


def pair_ratios(ours, peer):
    """Of each pair: the two ran one after the other, on the same machine."""
    assert len(ours) == len(peer)
    return [a / b for a, b in zip(ours, peer)]


def spread(ratios):
    return max(ratios) / min(ratios) if min(ratios) > 0 else math.inf


@dataclasses.dataclass
class Figure:
    """One load: what each pair of runs gave. Larger is better unless smaller."""

    load: str      # its key in the record
    words: str     # what it is, for people
    ours: list
    peer: list     # may be empty: nobody beside us
    unit: str = "/s"
    cpu_ours: list = dataclasses.field(default_factory=list)
    cpu_peer: list = dataclasses.field(default_factory=list)
    memory: float = None
    notes: list = dataclasses.field(default_factory=list)

    def ratio(self):
        return median(pair_ratios(self.ours, self.peer)) if self.peer else None

    def cpu_ratio(self):
        if not self.cpu_ours or not self.cpu_peer:
            return None
        return median(pair_ratios(self.cpu_ours, self.cpu_peer))

    def all_notes(self):
        notes = list(self.notes)
        if len(self.peer) > 1:
            ratios = pair_ratios(self.ours, self.peer)
            if spread(ratios) > WIDE:
                notes.append(f"wide: {min(ratios):.2f} to {max(ratios):.2f}")
        return notes


def number(value):
    """Three digits are all that a measurement here is worth."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(figures, peer="Postfix", each="message"):
    """Markdown, for doc/performance.md."""
    lines = [f"| | valija | {peer} | ratio | CPU ms a {each} | {peer} | ratio | |",
             "|---|---|---|---|---|---|---|---|"]
    for f in figures:
        cells = [f.words,
                 f"{number(median(f.ours))}{f.unit}",
                 f"{number(median(f.peer))}{f.unit}" if f.peer else "-",
                 number(f.ratio()),
                 number(median(f.cpu_ours)) if f.cpu_ours else "-",
                 number(median(f.cpu_peer)) if f.cpu_peer else "-",
                 number(f.cpu_ratio()), "; ".join(f.all_notes())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# ---- the record: tests/bench/ratios.tsv ----

def record_line(figure, date, commit):
    def cell(values):
        return f"{median(values):.4g}" if values else "-"

    ratio, memory = figure.ratio(), figure.memory
    return "\t".join([
        date, commit, figure.load, cell(figure.ours), cell(figure.peer),
        "-" if ratio is None else f"{ratio:.3f}", cell(figure.cpu_ours),
        cell(figure.cpu_peer), "-" if memory is None else f"{memory:.1f}"])


def read_record(path):
    """The last line of each load, as a dictionary of COLUMNS."""
    last = {}
    path = pathlib.Path(path)
    for line in path.read_text().splitlines() if path.exists() else []:
        if line and not line.startswith("#"):
            row = dict(zip(COLUMNS, line.split("\t")))
            if row["load"] != "load":
                last[row["load"]] = row
    return last


def append_record(path, figures, commit):
    path = pathlib.Path(path)
    date = datetime.date.today().isoformat()
    head = "" if path.exists() else "\t".join(COLUMNS) + "\n"
    with open(path, "a") as file:
        file.write(head)
        for figure in figures:
            file.write(record_line(figure, date, commit) + "\n")


def comparison(figures, last):
    """How each load's ratio stands to the one recorded last."""
    lines = []
    for figure in figures:
        row, ratio = last.get(figure.load), figure.ratio()
        if not row or row["ratio"] == "-" or ratio is None:
            continue
        before = float(row["ratio"])
        lines.append(f"  {figure.load:28} {before:.2f} at {row['commit']}, "
                     f"now {ratio:.2f} (x {ratio / before:.2f})")
    return "\n".join(lines)
