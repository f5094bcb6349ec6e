"""What the prediction server does in a second, beside a bound and its peers, in one run: one table.

    python benchmarks/serving/table.py [--peers FOLDER] [--seconds 2] [--rounds 3] [--connections 1 16 64] [--quick]
                                       [--markdown FILE] [--json]

Every server is started, and all are asked in turns, round after round, so that whatever else the machine does harms all
alike; each figure is the median of the rounds. The load is `wrk` with one thread on the same machine. Every server's
first answer is compared with the model's own. `--peers` adds the others, each installed into an environment of its own
below FOLDER. CPU is that of all processes of a server over the answers it gave; memory is their proportional share.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from contender import Contender, Figures
from others import peers
from ours import echo, trimtab
from trees import trees

Runs = dict[str, dict[int, list[Figures]]]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="what the prediction server does in a second, beside its peers")
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="install the peers below this folder, and run them"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run of wrk (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server and load (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="loads (default: 1 16 64)")
    parser.add_argument("--quick", action="store_true", help="one round of one second each")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there as Markdown as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk, the load generator: apt-get install wrk")
    if args.quick:
        args.rounds, args.seconds = 1, 1.0
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        folder = Path(name)
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
    if args.json:
        print(json.dumps({"trees": figures}, indent=2))
        return
    table = rows_of(contenders, figures, args.connections)
    print_table(asked.title, table)
    if args.markdown:
        args.markdown.write_text(f"## {asked.title}\n\n{markdown(table)}\n", "utf-8")


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
                for one in contenders:
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
    return figures


def rows_of(
    contenders: Sequence[Contender], figures: dict[str, Figures], connections: Sequence[int]
) -> list[list[str]]:
    """The table, its head first. Ratios are of the best of ours to each other, at the most connections."""
    top = max(connections)
    best = max(figures[one.name][f"per_second@{top}"] for one in contenders if one.name.startswith("Trimtab"))
    head = ["server", f"req/s c{top}", "ours / it"]
    head += [f"p50 / p99 ms c{count}" for count in connections]
    table = [[*head, "CPU us", "PSS MB", "start s", "errors", "set up as"]]
    for one in contenders:
        told = figures[one.name]
        rate = told[f"per_second@{top}"]
        waits = [f"{told[f'p50_ms@{count}']:.2f} / {told[f'p99_ms@{count}']:.2f}" for count in connections]
        errors = sum(told[f"errors@{count}"] for count in connections)
        cells = [one.name, f"{rate:,.0f}", f"{best / rate:.2f}", *waits, f"{told[f'cpu_us@{top}']:,.0f}"]
        table.append([*cells, f"{told['memory_mb']:.0f}", f"{told['start_s']:.2f}", f"{errors:.0f}", one.note])
    return table


def print_table(title: str, table: Sequence[Sequence[str]]) -> None:
    """The table in columns: the first and the last to the left, figures to the right."""
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    print(f"\n{title}")
    for row in table:
        middle = [cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:-1], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *middle, row[-1]]))


def markdown(table: Sequence[Sequence[str]]) -> str:
    """The same for a page."""
    head, *rows = table
    rule = ["---", *["---:"] * (len(head) - 2), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def say(what: str) -> None:
    """Where it is, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
