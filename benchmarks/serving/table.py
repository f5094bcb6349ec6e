"""What the prediction server does in a second, beside bounds and its peers, in one run.

    python benchmarks/serving/table.py [--peers FOLDER] [--only trees apart images overload] [--quick] [--markdown FILE]
                                       [--seconds 2] [--rounds 3] [--connections 1 16 64] [--json]

Every server of a table is started, and all are asked in turns, round after round, every other one backwards, so that
whatever else the machine does harms all alike; each figure is the median of the rounds, and each ratio is made within
them. The load is `wrk` with one thread on the same machine; in the table "apart" it has a core of its own, and each
server another: elsewhere callers take the more of what a server could do, the faster it is.
Every server's first answer is compared with the model's own. `--peers` adds the others, each installed into an
environment of its own below FOLDER. CPU is that of all processes of a server over the answers it gave; memory is their
proportional share. "of bound" is of the first line of the table, "ours / it" of our best line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import overload
from alone import alone
from contender import Contender, Figures
from images import images, photo
from others import best_peer, peers
from ours import echo, trimtab, trimtab_in_bytes, trimtab_with_files
from trees import trees

Runs = dict[str, dict[int, list[Figures]]]


@dataclass(frozen=True)
class Table:
    """`rows`, the head first, and `figures` by name of what they were made of."""

    title: str
    rows: Sequence[Sequence[str]]
    figures: Any


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="what the prediction server does in a second, beside its peers")
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="install peers below this folder, and run them too"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the tables")
    parser.add_argument("--seconds", type=int, default=2, help="length of one run of wrk, whole seconds (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server and load (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="loads (default: 1 16 64)")
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there as Markdown as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk, the load generator: apt-get install wrk")
    if args.quick:
        args.rounds, args.seconds = 1, 1
    tables = {}
    for part in args.only:
        with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
            tables[part] = PARTS[part](Path(name), args)
        if not args.json:
            show(tables[part])
    if args.json:
        print(json.dumps({part: table.figures for part, table in tables.items()}, indent=2))
    if args.markdown:
        args.markdown.write_text("\n".join(map(markdown, tables.values())), "utf-8")


def of_trees(folder: Path, args: argparse.Namespace) -> Table:
    """Trees on one row as JSON, against a JSON echo."""
    asked = trees(folder)
    contenders = [
        echo(asked),
        trimtab(asked, folder),
        trimtab(asked, folder, processes=2),
        trimtab(asked, folder, processes=2, beside=True),
    ]
    if args.peers is not None:
        contenders += peers(asked, folder, args.peers.resolve())
    figures = measure(contenders, folder, asked.expected, args)
    return Table(asked.title, rows_of(contenders, figures, args.connections), figures)


def of_trees_apart(folder: Path, args: argparse.Namespace) -> Table:
    """The same with a core for each server, and one for its callers."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("callers and servers apart need two cores")
    asked = trees(folder)
    contenders = [echo(asked), trimtab(asked, folder)]
    if args.peers is not None:
        contenders += best_peer(asked, folder, args.peers.resolve())
    for one in contenders:
        one.apart = (cores[0], cores[1])
    figures = measure(contenders, folder, asked.expected, args)
    return Table(
        f"{asked.title}; callers on a core of their own", rows_of(contenders, figures, args.connections), figures
    )


def of_images(folder: Path, args: argparse.Namespace) -> Table:
    """A convolutional network on images as bytes, against the network alone."""
    asked = images(folder)
    contenders = [
        alone(asked),
        trimtab_in_bytes(asked, folder),
        trimtab_in_bytes(asked, folder, processes=2),
        trimtab_with_files(asked, folder, photo()),
    ]
    if args.peers is not None:
        contenders += peers(asked, folder, args.peers.resolve(), raw=True)
    figures = measure(contenders, folder, asked.expected, args)
    return Table(asked.title, rows_of(contenders, figures, args.connections), figures)


def of_overload(folder: Path, args: argparse.Namespace) -> Table:
    """Several times what a heavy model can do, as `overload.py` has it."""
    say("overload")
    loads = [5.0] if args.quick else [1.0, 2.0, 5.0]
    title, capacities, figures = overload.measure(folder, loads, 2 * args.seconds, 1000)
    told = ", ".join(f"{one:.0f}" for one in capacities)
    rows = [list(overload.HEADS), *([one[head] for head in overload.HEADS] for one in figures)]
    return Table(f"overload: {title}, {told} rows a second before and after each load", rows, figures)


def measure(
    contenders: Sequence[Contender],
    folder: Path,
    expected: float,
    args: argparse.Namespace,
) -> dict[str, Figures]:
    """Starts all, asks them in turns, ends them; the medians by name."""
    connections, rounds, seconds = args.connections, args.rounds, args.seconds
    begun: list[Contender] = []
    runs: Runs = {one.name: {count: [] for count in connections} for one in contenders}
    try:
        for one in contenders:
            say(f"starting {one.name}")
            begun.append(one)
            one.start(folder, expected)
        for one in contenders:
            one.load(max(connections), min(1.0, seconds))  # warm
        for number in range(rounds):
            for count in connections:
                for one in contenders if number % 2 == 0 else contenders[::-1]:
                    say(f"round {number + 1} of {rounds}, {count} connections: {one.name}")
                    runs[one.name][count].append(one.load(count, seconds))
        memory = {one.name: one.memory() for one in contenders}
    finally:
        for one in begun:
            one.stop()
    figures: dict[str, Figures] = {}
    for one in contenders:
        told = figures[one.name] = {"start_s": one.started, "memory_mb": memory[one.name]}
        for count, those in runs[one.name].items():
            for key in those[0]:
                told[f"{key}@{count}"] = statistics.median(run[key] for run in those)
            pairs = zip(those, runs[contenders[0].name][count], strict=True)
            told[f"of_bound@{count}"] = statistics.median(
                own["per_second"] / bound["per_second"] for own, bound in pairs
            )
    return figures


def rows_of(
    contenders: Sequence[Contender], figures: dict[str, Figures], connections: Sequence[int]
) -> list[list[str]]:
    """The table, its head first."""
    top = max(connections)
    rates = {one.name: figures[one.name][f"per_second@{top}"] for one in contenders}
    shares = {one.name: figures[one.name][f"of_bound@{top}"] for one in contenders}
    best = max(share for name, share in shares.items() if name.startswith("Trimtab"))
    waits = [f"p50 / p99 ms c{count}" for count in connections]
    head = ["server", f"req/s c{top}", "of bound", "ours / it", *waits, "CPU us", "PSS MB", "start s", "errors"]
    table = [[*head, "set up as"]]
    for one in contenders:
        told, rate, share = figures[one.name], rates[one.name], shares[one.name]
        cells = [one.name, f"{rate:,.0f}", f"{share:.0%}", f"{best / share:.2f}"]
        cells += [pair(told[f"p50_ms@{count}"], told[f"p99_ms@{count}"]) for count in connections]
        errors = sum(told[f"errors@{count}"] for count in connections)
        cells += [f"{told[f'cpu_us@{top}']:,.0f}", f"{told['memory_mb']:.0f}", f"{told['start_s']:.2f}"]
        table.append([*cells, f"{errors:.0f}", one.note])
    return table


def pair(p50: float, p99: float) -> str:
    """Two times in one cell; none where nobody waits."""
    return "" if math.isnan(p50) else f"{p50:.2f} / {p99:.2f}"


def show(table: Table) -> None:
    """The table in columns: the first and the last to the left, figures to the right."""
    widths = [max(len(row[place]) for row in table.rows) for place in range(len(table.rows[0]))]
    print(f"\n{table.title}")
    for row in table.rows:
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *middle, row[-1]]), flush=True)


def markdown(table: Table) -> str:
    """The same for a page."""
    head, *rows = table.rows
    rule = ["---", *["---:"] * (len(head) - 2), "---"]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
    return f"## {table.title}\n\n{lines}\n"


def say(what: str) -> None:
    """Where it is, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


PARTS = {"trees": of_trees, "apart": of_trees_apart, "images": of_images, "overload": of_overload}

if __name__ == "__main__":
    main()
