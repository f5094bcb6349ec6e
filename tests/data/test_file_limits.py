"""Files larger than memory, and a process that is killed while it reads them."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.data.test_file_sources import as_csv, as_ndjson, settle, spec_of

from trimtab.data.sources.files import FileSource
from trimtab.data.store.versions import DatasetStore
from trimtab.testing.sources import END, trips

_COLLECT = """
import lance, polars, pathlib
from tests.data import test_file_limits as own
print("ready", flush=True)
own.collect(pathlib.Path({root!r}), pathlib.Path({world!r}), {ending!r})
"""

_LARGE = """
import pathlib, resource, sys
from tests.data.test_file_sources import spec_of
from trimtab.data.sources.files import FileSource
from trimtab.data.store.versions import DatasetStore
from trimtab.testing.sources import END
store = DatasetStore(pathlib.Path({root!r}), spec_of({name!r}))
store.collect(FileSource(store.spec, pathlib.Path({world!r})), until=END, now=END)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(store.version().rows, int(peak.split()[1]) // 1024)
"""


def collect(root: Path, world: Path, ending: str) -> None:
    """From wherever the store is, in small pages."""
    store = DatasetStore(root, spec_of(f"*.{ending}"))
    store.collect(FileSource(store.spec, world, page_bytes=40_000), until=END, now=END)


@pytest.mark.parametrize(
    "ending", ["csv", pytest.param("ndjson", marks=pytest.mark.slow), pytest.param("parquet", marks=pytest.mark.slow)]
)
def test_killed_between_and_within_pages_and_run_again(tmp_path: Path, ending: str) -> None:
    world = tmp_path / "world"
    world.mkdir()
    for part in range(4):
        rows = trips(part * 2000, part * 2000 + 2000)
        path = world / f"{part}.{ending}"
        if ending == "parquet":
            rows.write_parquet(path, row_group_size=300)
        else:
            path.write_bytes(as_csv(rows) if ending == "csv" else as_ndjson(rows))
        settle(path)
    collect(tmp_path / "whole", world, ending)
    dice, reached = random.Random(11), []
    for _ in range(2):
        script = _COLLECT.format(root=str(tmp_path / "killed"), world=str(world), ending=ending)
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.05 + 0.15 * dice.random())
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        current = DatasetStore(tmp_path / "killed", spec_of(f"*.{ending}")).current()
        reached.append(current.rows if current is not None else 0)
    assert reached == sorted(reached)
    collect(tmp_path / "killed", world, ending)
    whole = DatasetStore(tmp_path / "whole", spec_of(f"*.{ending}"))
    killed = DatasetStore(tmp_path / "killed", spec_of(f"*.{ending}"))
    assert killed.version().id == whole.version().id
    assert killed.version().rows == 8000
    assert killed.quarantined().total == 0
    assert killed.verify().sound


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ending", ["csv", "ndjson", "json"])
def test_a_file_larger_than_memory_is_collected_within_bounds(tmp_path: Path, ending: str) -> None:
    """1.5 GB in a process that may have less than half of that."""
    filler = "x" * 900
    path = tmp_path / "world" / f"large.{ending}"
    path.parent.mkdir()
    count = 1_500_000_000 // 1_000
    with path.open("w") as file:
        file.write({"csv": "id,at,minutes,town\n", "json": "[", "ndjson": ""}[ending])
        for number in range(count):
            at = f"2026-01-{1 + number % 28:02}T{number % 24:02}:00:00Z"
            if ending == "csv":
                file.write(f"trip-{number:09},{at},{number % 50},{filler}\n")
            else:
                comma = "," if ending == "json" and number else ""
                row = f'{{"id":"trip-{number:09}","at":"{at}","minutes":{number % 50},"town":"{filler}"}}\n'
                file.write(comma + row)
        file.write("]" if ending == "json" else "")
    settle(path)
    script = _LARGE.format(root=str(tmp_path / "store"), world=str(path.parent), name=f"*.{ending}")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True
    )
    rows, peak = map(int, done.stdout.split())
    assert rows == count
    assert peak < 700, f"{peak} MiB"  # 560 to 620, by what the allocators keep
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024 < 1000
