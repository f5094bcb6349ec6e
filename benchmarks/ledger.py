"""What the ledger costs: milliseconds for each append and read, in memory and on disk.

    python benchmarks/ledger.py [--facts 2000] [--standing 0] [--folder DIR] [--json]

Every figure is the mean over `--facts` calls. `--standing` facts are in the ledger beforehand. The bound is the same
rows written and read with the bare sqlite3 module, one flushed transaction a row, in the same run.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trimtab.records.facts import AnyFact, PassFinished, VerdictsGiven
from trimtab.records.ledger import Draft, Ledger
from trimtab.records.requirement import Verdict

START = datetime(2013, 1, 1, tzinfo=UTC)
Figures = dict[str, float]


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description="what the ledger costs")
    parser.add_argument("--facts", type=int, default=2000, help="calls behind each figure (default: 2000)")
    parser.add_argument("--standing", type=int, default=0, help="facts already there (default: 0)")
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        columns = {
            "memory": ledger_figures(None, args.facts, args.standing),
            "disk": ledger_figures(folder / "full.db", args.facts, args.standing),
            "disk, no power cut": ledger_figures(
                folder / "normal.db", args.facts, args.standing, survive_power_cut=False
            ),
            "bare sqlite3": bound_figures(folder / "bare.db", args.facts),
        }
        columns["disk"]["whole process: open, last"] = process_figure(folder / "full.db")
    if args.json:
        json.dump(columns, sys.stdout, indent=1)
    else:
        sys.stdout.write(table(columns))


def facts(count: int, offset: int = 0) -> list[tuple[str, AnyFact, datetime]]:
    """Facts as a day of the loop gives them: half passes, half verdicts on eight requirements."""
    made: list[tuple[str, AnyFact, datetime]] = []
    for i in range(offset, offset + count):
        at = START + timedelta(hours=i)
        if i % 2:
            made.append(
                (f"pass:{i}", PassFinished(number=str(i), causes=(), actions=(), reason="all requirements met"), at)
            )
        else:
            verdicts = tuple(
                Verdict(
                    metric=f"quality.metric_{n}",
                    status="met",
                    comparison=">=",
                    limit=0.6,
                    figure=0.7 + n / 100 + i / 1e7,
                    low=0.68,
                    high=0.74,
                    rows=4000 + i,
                    place="live",
                )
                for n in range(8)
            )
            made.append(
                (f"verdicts:live:r-{i % 7}:{i}", VerdictsGiven(place="live", subject="r", verdicts=verdicts), at)
            )
    return made


def ledger_figures(path: Path | None, count: int, standing: int, *, survive_power_cut: bool = True) -> Figures:
    """Milliseconds a call of each verb."""
    figures: Figures = {}
    if path is not None:
        Ledger.open(path).close()
        figures["open"] = each(1, lambda _: Ledger.open(path).close())
    with Ledger.open(path, survive_power_cut=survive_power_cut) as ledger:
        before = [Draft(key=key, fact=fact, at=at) for key, fact, at in facts(standing)]
        for begin in range(0, standing, 1000):
            ledger.append_all(before[begin : begin + 1000])
        new = facts(count, standing)

        def append(i: int) -> None:
            key, fact, at = new[i]
            ledger.append(key, fact, at=at)

        figures["append"] = each(count, append)
        figures["append again"] = each(count, append)
        tens = facts(count, standing + count)
        drafts = [Draft(key=key, fact=fact, at=at) for key, fact, at in tens]
        figures["append_all, a fact of ten"] = (
            each(count // 10, lambda i: ledger.append_all(drafts[i * 10 : i * 10 + 10])) / 10
        )
        figures["get"] = each(count, lambda i: ledger.get(new[i][0]))
        figures["last of a kind"] = each(count, lambda _: ledger.last(PassFinished))
        figures["last with a prefix"] = each(count, lambda i: ledger.last(VerdictsGiven, f"verdicts:live:r-{i % 7}:"))
        figures["last with a rare prefix"] = each(
            min(count, 100), lambda i: ledger.last(VerdictsGiven, f"verdicts:live:r-{i % 7}:{i}")
        )
        total = ledger.count()
        figures["entries, each"] = each(1, lambda _: sum(1 for _ in ledger.entries())) / total
        figures["verify, each"] = each(1, lambda _: ledger.verify()) / total
    return figures


def bound_figures(path: Path, count: int) -> Figures:
    """The same rows through the sqlite3 module alone: no JSON, no digest, no refusal."""
    rows = [(i + 1, key, at.isoformat(), "x" * 900) for i, (key, _, at) in enumerate(facts(count))]
    bare = sqlite3.connect(path, isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE facts (seq INTEGER PRIMARY KEY, key TEXT UNIQUE, at TEXT, fact TEXT)")

    def append(i: int) -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO facts VALUES (?, ?, ?, ?)", rows[i])
        bare.execute("COMMIT")

    figures = {"append": each(count, append)}
    figures["get"] = each(count, lambda i: bare.execute("SELECT * FROM facts WHERE key = ?", (rows[i][1],)).fetchone())
    bare.close()
    return figures


def process_figure(path: Path) -> float:
    """Milliseconds of a whole Python process that opens the ledger and reads the last pass (the best of five)."""
    code = (
        "import sys; from pathlib import Path; from trimtab.records.facts import PassFinished;"
        "from trimtab.records.ledger import Ledger;"
        "ledger = Ledger.open(Path(sys.argv[1]), create=False); assert ledger.last(PassFinished); ledger.close()"
    )
    return min(each(1, lambda _: subprocess.run([sys.executable, "-c", code, path], check=True)) for _ in range(5))


def each(count: int, call: Callable[[int], object]) -> float:
    """Mean milliseconds of `count` calls."""
    begin = time.perf_counter()
    for i in range(count):
        call(i)
    return (time.perf_counter() - begin) * 1000 / max(count, 1)


def table(columns: dict[str, Figures]) -> str:
    """Verbs down, places across; milliseconds."""
    verbs = list(dict.fromkeys(verb for figures in columns.values() for verb in figures))
    lines = [f"{'ms a call':<28}" + "".join(f"{name:>20}" for name in columns)]
    for verb in verbs:
        cells = (f"{figures[verb]:>20.4f}" if verb in figures else f"{'':>20}" for figures in columns.values())
        lines.append(f"{verb:<28}" + "".join(cells))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
