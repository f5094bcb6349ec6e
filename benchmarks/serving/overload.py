"""What becomes of a server that is asked for more than it can do: how much it still does, and how long that takes.

    python benchmarks/serving/overload.py [--times 1 2 5] [--seconds 5] [--connections 1000] [--quick] [--json]

The model is a convolutional network of some milliseconds a row, run in threads. An open load, in a process of its own
on the same machine, asks for several times what a closed load of 64 connections gets just before and after it.
The capacity is measured with the same callers. Each answer's time is counted from when its request was due. Callers and
refusals take their share of the same cores; what the callers take is told, and is no fault of the server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contender import HERE, Contender
from heavy import heavy
from ours import trimtab

HEADS = (
    "asked", "answered of capacity", "p50 ms", "p99 ms", "slowest ms", "refused", "refused p99 ms", "unsent",
    "callers' cores",
)  # fmt: skip


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description="what becomes of a server that is asked for more than it can do")
    parser.add_argument("--times", type=float, nargs="+", default=[1, 2, 5], help="of its capacity (default: 1 2 5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load (default: 5)")
    parser.add_argument("--connections", type=int, default=1000, help="that callers have open (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="five times its capacity, for two seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.quick:
        args.times, args.seconds = [5], 2.0
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        title, capacities, figures = measure(Path(name), args.times, args.seconds, args.connections)
    if args.json:
        print(json.dumps({"capacities": capacities, "loads": figures}, indent=2))
        return
    told = ", ".join(f"{one:.0f}" for one in capacities)
    print(f"\n{title}: {told} rows a second with 64 connections, before and after each load")
    print("".join(f"{head:>22}" for head in HEADS))
    for one in figures:
        print("".join(f"{one[head]:>22}" for head in HEADS))


def measure(
    folder: Path, loads: Sequence[float], seconds: float, connections: int
) -> tuple[str, list[float], list[dict[str, str]]]:
    """What is asked, the capacities before and after each load, and a row of the table for each load."""
    asked = heavy(folder)
    server = trimtab(asked, folder)
    server.start(folder, asked.expected)
    try:
        load(server, 0, 1.0, 64)  # warm
        capacities = [capacity(server, seconds)]
        figures = []
        for times in loads:
            told = load(server, times * capacities[-1], seconds, connections)
            capacities.append(capacity(server, seconds))
            figures.append(row(times, statistics.mean(capacities[-2:]), told, seconds))
    finally:
        server.stop()
    return asked.title, capacities, figures


def capacity(server: Contender, seconds: float) -> float:
    """Rows a second that it answers to callers who wait for it."""
    return done(load(server, 0, seconds, 64)) / seconds


def load(server: Contender, rate: float, seconds: float, connections: int) -> dict[str, Any]:
    """One load; what its process told."""
    headers = [f"{name}={value}" for name, value in server.headers.items()]
    told = subprocess.run(
        [sys.executable, str(HERE / "open_load.py"), str(server.port), str(server.body_file), str(rate), str(seconds),
         str(connections), *headers],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def done(told: dict[str, Any]) -> int:
    """Requests that were answered."""
    return int(told["statuses"].get("200", 0))


def row(times: float, capacity: float, told: dict[str, Any], seconds: float) -> dict[str, str]:
    """One line of the table."""
    answered, refused = told["took"].get("200", {}), told["took"].get("503", {})
    total = sum(told["statuses"].values()) + told["unsent"]

    def milliseconds(took: dict[str, float], key: str) -> str:
        return f"{1e3 * took[key]:.1f}" if took else "-"

    return {
        "asked": f"{times:g} x",
        "answered of capacity": f"{done(told) / seconds / capacity:.0%}",
        "p50 ms": milliseconds(answered, "p50"),
        "p99 ms": milliseconds(answered, "p99"),
        "slowest ms": milliseconds(answered, "p100"),
        "refused": f"{told['statuses'].get('503', 0) / total:.0%}",
        "refused p99 ms": milliseconds(refused, "p99"),
        "unsent": f"{told['unsent'] / total:.0%}",
        "callers' cores": f"{told['cores']:.2f}",
    }


if __name__ == "__main__":
    main()
