"""What it costs to keep a micro-batch, and to read a history: our frames against Arrow, written and read.

Writing: one batch as a frame of ours, as a record batch of an Arrow stream with a column for each input, and as one
with the inputs as a fixed-size list; all of them end with a `write` to the operating system, as the server does before
it answers. Reading: the same history in frames, and compacted into Arrow files. CPU seconds, in one process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from trimtab.serving.telemetry.maintenance.compaction import compact
from trimtab.serving.telemetry.reading.reader import TelemetryReader
from trimtab.serving.telemetry.segments import (
    ANSWERED,
    ENCODING,
    FEEDBACK,
    EncodedColumn,
    Encoding,
    Scored,
    Truths,
    micros,
    pack,
)
from trimtab.serving.telemetry.writing.writer import TelemetryWriter

T0 = datetime(2013, 1, 1, tzinfo=UTC)
WIDTH = 30


def record(ids: list[str], at: int, scores: bytes) -> Scored:
    """A batch's meta part, as the server makes it."""
    rows = len(ids)
    stamps, waits = array("q", [at] * rows).tobytes(), array("f", [0.001] * rows).tobytes()
    return Scored(1, 2, 3, "r-001", "model", "live", ids, stamps, waits, scores, 1, WIDTH, "e")


def writing(rows: int, folder: Path) -> dict[str, tuple[float, float]]:
    """CPU microseconds a batch and bytes a row, by form."""
    random = np.random.default_rng(1)
    ids = [f"0194b1c2-{number:04x}-7000-8000-0123456789ab" for number in range(rows)]
    matrix, scores = random.random((rows, WIDTH), np.float32), random.random(rows, np.float32)
    stamps = [micros(T0)] * rows
    told = [
        ("id", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("release", pa.string()),
        ("model", pa.string()),
        ("stage", pa.string()),
        ("generation", pa.int64()),
        ("score", pa.float32()),
        ("latency", pa.float32()),
    ]
    columns = pa.schema(told + [(f"f{place}", pa.float32()) for place in range(WIDTH)])
    listed = pa.schema([*told, ("inputs", pa.list_(pa.float32(), WIDTH))])

    def common() -> list[pa.Array]:
        moments = pa.array(np.array(stamps, np.int64)).cast(pa.timestamp("us", "UTC"))
        words = [pa.array([word] * rows) for word in ("r-001", "model", "live")]
        late = pa.array(np.full(rows, 0.001, np.float32))
        return [pa.array(ids), moments, *words, pa.array([3] * rows), pa.array(scores), late]

    encode = msgspec.msgpack.Encoder().encode
    paths = {name: folder / name for name in ("frame", "arrow, a column each", "arrow, one list")}
    with (
        paths["frame"].open("wb", buffering=0) as plain,
        paths["arrow, a column each"].open("wb", buffering=0) as first,
        paths["arrow, one list"].open("wb", buffering=0) as second,
        pa.ipc.new_stream(first, columns) as wide,
        pa.ipc.new_stream(second, listed) as narrow,
    ):

        def frame() -> None:
            plain.write(pack(ANSWERED, encode(record(ids, stamps[0], scores.tobytes())), matrix.tobytes()))

        def each() -> None:
            arrays = common() + [pa.array(matrix[:, place]) for place in range(WIDTH)]
            wide.write_batch(pa.record_batch(arrays, schema=columns))

        def one() -> None:
            cells = pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), WIDTH)
            narrow.write_batch(pa.record_batch([*common(), cells], schema=listed))

        found = {}
        for (name, path), write in zip(paths.items(), (frame, each, one), strict=True):
            write()
            size, count = path.stat().st_size, max(100, 6_000 // rows)
            seconds = cpu(lambda write=write, count=count: [write() for _ in range(count)])
            found[name] = (1e6 * seconds / count, (path.stat().st_size - size) / 3 / count / rows)
    return found


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process, the least of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def history(folder: Path, batches: int) -> None:
    """A year of batches of 40 rows, each with its truth eight hours later."""
    writer = TelemetryWriter(folder, limit=8 * 2**20)
    words = [f"v{place}" for place in range(16)]
    columns = [EncodedColumn(f"f{place}", "number") for place in range(WIDTH - 3)]
    columns += [EncodedColumn(f"c{place}", "category", words) for place in range(3)]
    told = Encoding("e", "binary_classification", ["no", "yes"], columns)
    writer.describe("e", pack(ENCODING, msgspec.msgpack.encode(told)))
    random = np.random.default_rng(2)
    for number in range(batches):
        at = micros(T0 + timedelta(days=365) * number / batches)
        ids = [f"2013-{number:05d}-{row:02d}" for row in range(40)]
        cells = np.hstack([random.normal(size=(40, WIDTH - 3)), random.integers(-1, 16, (40, 3))]).astype(np.float32)
        frame = pack(
            ANSWERED, msgspec.msgpack.encode(record(ids, at, random.random(40, np.float32).tobytes())), cells.tobytes()
        )
        writer.write([frame], at, at, 40, ("e",))
        late = at + 8 * 3_600_000_000
        truths = Truths(ids, [1.0] * 40, array("q", [late] * 40).tobytes())
        writer.write([pack(FEEDBACK, msgspec.msgpack.encode(truths))], late, late, 40)
    writer.close()


def reading(folder: Path) -> dict[str, float]:
    """CPU seconds of what a loop asks for."""
    recent = T0 + timedelta(days=348)

    def opened() -> TelemetryReader:
        reader = TelemetryReader(folder)
        reader.refresh()
        return reader

    held = opened()
    held.predictions()
    return {
        "the last 17 days, anew": cpu(lambda: opened().predictions(recent)),
        "the whole history, anew": cpu(lambda: opened().predictions()),
        "the last 17 days, again": cpu(lambda: held.predictions(recent)),
        "inputs of 7 days": cpu(lambda: held.features(recent + timedelta(days=10), None, "r-001")),
    }


def size(folder: Path) -> int:
    """Bytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def importing(what: str) -> tuple[float, float]:
    """CPU seconds and MiB that an import adds to a process that has NumPy."""
    program = (
        "import time, numpy, msgspec\n"
        "def held(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        f"a, t = held(), time.process_time()\nimport {what}\nprint(time.process_time() - t, held() - a)"
    )
    environment = os.environ | {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    seconds, size = map(float, done.stdout.split())
    return seconds, size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=7_000, help="batches of 40 rows in the history (default: 7000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(f"{'rows':>5}  {'form':<22}{'us a batch':>12}{'us a row':>10}{'bytes a row':>13}")
        for rows in (1, 8, 64, 512):
            for form, (spent, taken) in writing(rows, Path(name)).items():
                print(f"{rows:>5}  {form:<22}{spent:>12.1f}{spent / rows:>10.2f}{taken:>13.0f}")
        for what in ("pyarrow", "polars"):
            seconds, held = importing(what)
            print(f"import {what}: {seconds:.2f} CPU s, {held:.0f} MiB")
        folder = Path(name) / "history"
        history(folder, asked.batches)
        framed, before = reading(folder), size(folder)
        start = time.process_time()
        compact(folder)
        spent = time.process_time() - start
        archived = reading(folder)
        rows = 40 * asked.batches
        print(f"\n{rows:,} answers of {WIDTH} inputs and as many truths")
        print(f"{'':<26}{'frames':>10}{'arrow':>10}")
        for what, seconds in framed.items():
            print(f"{what:<26}{seconds:>8.4f} s{archived[what]:>8.4f} s")
        print(f"{'on disk':<26}{before / 2**20:>6.1f} MiB{size(folder) / 2**20:>6.1f} MiB")
        print(f"compacting took {spent:.2f} CPU s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
