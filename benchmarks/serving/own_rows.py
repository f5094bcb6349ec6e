"""Whether every caller gets the answer to its own rows, however they are batched, cut, shared out and followed.

    python benchmarks/serving/own_rows.py [--rows 100000] [--connections 64] [--quick] [--json]

Distinct rows are asked for over many connections at once, one or several a request and now and then a thousand, of a
server with a live release, a canary of 20% and two shadows, one of them with code of its own. Each answer is compared
with what the release that gave it says by itself, one row after the other in one thread; then the telemetry is compared
with the answers: every row is there once for each release that scored it. Ends with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson
import uvloop
from contender import Contender
from numpy.typing import NDArray
from ours import crowded
from trees import trees
from workload import Workload

Rows = NDArray[np.float32]


def main() -> int:
    """Ask, compare, and print what was found."""
    parser = argparse.ArgumentParser(description="whether every caller gets the answer to its own rows")
    parser.add_argument("--rows", type=int, default=100_000, help="distinct rows (default: 100000)")
    parser.add_argument("--connections", type=int, default=64, help="callers at a time (default: 64)")
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if args.quick:
        args.rows = 10_000
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as name:
        folder = Path(name)
        asked = trees(folder)
        spread = np.random.default_rng(11).uniform(0.3, 2.0, (args.rows, len(asked.row)))
        rows = (asked.row * spread).astype(np.float32)
        reference = _reference(asked, rows)
        server = crowded(asked, folder)
        server.start(folder, asked.expected)
        try:
            began = time.perf_counter()
            answers = uvloop.run(_ask(server, rows, args.connections))
            took = time.perf_counter() - began
            _settle(server)
            told = _compare(answers, reference) | _kept(folder / "crowded", answers, reference)
        finally:
            server.stop()
    told |= {"rows": args.rows, "seconds": round(took, 1), "connections": args.connections}
    wrong = sum(count for what, count in told.items() if what.startswith("wrong"))
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(f"{what:<44} {count:>12,}" for what, count in told.items()))
        print("every answer is its own row's" if not wrong else "ANSWERS DIFFER")
    return int(wrong > 0)


def _reference(asked: Workload, rows: Rows) -> dict[str, Rows]:
    """What each release says, row by row, in one thread."""
    from trimtab.inference.model import Model

    live, rival = (Model.load(graph, asked.signature) for graph in (asked.graph, asked.rival))
    each = {name: np.array([model.scores(row[None])[0] for row in rows]) for name, model in (("a", live), ("b", rival))}
    return {"r1": each["a"], "r2": each["b"], "r3": each["b"], "r4": each["a"]}


async def _ask(server: Contender, rows: Rows, connections: int) -> list[tuple[str, str, float]]:
    """Id, release and score of every row, in the order of the rows."""
    draw = np.random.default_rng(5)
    parts: list[tuple[int, int]] = []
    start = 0
    while start < len(rows):
        size = int(draw.choice([1, 1, 1, 1, 2, 7, 40, 1000], p=[0.2, 0.2, 0.2, 0.19, 0.1, 0.08, 0.028, 0.002]))
        parts.append((start, min(start + size, len(rows))))
        start = parts[-1][1]
    found: list[tuple[str, str, float]] = [("", "", 0.0)] * len(rows)
    waiting = iter(parts)
    names = [f"x{column}" for column in range(rows.shape[1])]

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        fields = "".join(f"{name}: {value}\r\n" for name, value in server.headers.items())
        for begin, end in waiting:
            asked = [dict(zip(names, row, strict=True)) for row in rows[begin:end].tolist()]
            ids = [f"row-{place}" for place in range(begin, end)]
            body = orjson.dumps({"rows": asked, "ids": ids})
            writer.write(
                f"POST {server.path} HTTP/1.1\r\nhost: x\r\n{fields}content-length: {len(body)}\r\n\r\n".encode() + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = orjson.loads(await reader.readexactly(size))
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"rows {begin} to {end}: {answer}")
            found[begin:end] = [(one["id"], one["release"], one["score"]) for one in answer["predictions"]]
        writer.close()

    await asyncio.gather(*(caller() for _ in range(connections)))
    return found


def _settle(server: Contender) -> None:
    from trimtab import Client

    token = server.headers["Authorization"].split()[1]
    with Client(f"http://127.0.0.1:{server.port}", token, patience=60) as client:
        client.settle(120)


def _compare(answers: list[tuple[str, str, float]], reference: dict[str, Rows]) -> dict[str, int]:
    wrong = misplaced = canary = 0
    for place, (name, release, score) in enumerate(answers):
        misplaced += name != f"row-{place}"
        wrong += abs(score - float(reference[release][place])) > 1e-6
        canary += release == "r2"
    distinct = len({round(float(score), 6) for _, _, score in answers})
    return {
        "wrong answers": wrong,
        "wrong ids": misplaced,
        "distinct answers": distinct,
        "answered by the canary": canary,
    }


def _kept(state: Path, answers: list[tuple[str, str, float]], reference: dict[str, Rows]) -> dict[str, int]:
    from trimtab.records.layout import Layout
    from trimtab.serving.telemetry.reading.reader import TelemetryReader

    reader = TelemetryReader(Layout(state).telemetry)
    reader.refresh()
    frame = reader.predictions()
    frame = frame.filter(frame["id"].str.starts_with("row-"))  # the first request, of the start, has an id of its own
    told: dict[str, int] = {}
    by = {release: frame.filter(release=release) for release in ("r1", "r2", "r3", "r4")}
    given: dict[str, set[str]] = {"r1": set(), "r2": set()}
    for name, release, _ in answers:
        given[release].add(name)
    wrong_rows = sum(set(by[release]["id"]) != names for release, names in given.items())
    wrong_rows += sum(len(by[shadow]) != len(answers) for shadow in ("r3", "r4"))
    wrong_scores = 0
    for release, those in by.items():
        places = np.array([int(name[4:]) for name in those["id"]], np.int64)
        wrong_scores += int((np.abs(reference[release][places] - those["score"].to_numpy()) > 1e-6).sum())
    told["wrong sets of rows in the telemetry"] = wrong_rows
    told["wrong scores in the telemetry"] = wrong_scores
    told["wrong rows there twice"] = int(reader.duplicates)
    told["rows scored in shadow"] = len(by["r3"]) + len(by["r4"])
    return told


if __name__ == "__main__":
    raise SystemExit(main())
