"""Versions of a folder of small pictures: added, a hundredth of them changed, nothing changed, and read at random.

Ours collects the declared folder: it reads what every picture says of itself, keeps its bytes and a digest for each
row, and checks the digest of everything it reads. DVC keeps the files alone.

usage: versions.py [--files 50000] [--peers build/peers]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import venv
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trimtab.data.sources.opening import open_source
from trimtab.data.spec import DatasetSpec
from trimtab.data.store.versions import DatasetStore

DVC = "dvc==3.67.1"
STEPS = ("add", "nothing changed", "1% changed", "read 10,000 of the first version at random")
_SIDE = 51
_READ = 10_000

_READ_DVC = """
import dvc.api, json, random, time
begin = time.perf_counter()
fs = dvc.api.DVCFileSystem(".", rev="v1")
paths = sorted(fs.find("pictures"))
some = random.Random(0).sample(paths, min(len(paths), {count}))
size = sum(len(fs.cat_file(path)) for path in some)
print(json.dumps(time.perf_counter() - begin))
"""


def picture(dice: random.Random) -> bytes:
    """A picture of noise, about 8 KB, as PNG."""
    row = _SIDE * 3
    noise = dice.randbytes(_SIDE * row)
    lines = b"".join(b"\0" + noise[start : start + row] for start in range(0, len(noise), row))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")


def make(folder: Path, files: int) -> None:
    """Pictures in fifty folders, written to an hour ago."""
    dice = random.Random(1)
    for number in range(files):
        path = folder / f"c{number % 50:02d}" / f"{number:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(dice))
        _settle(path, 3600)


def change(folder: Path, files: int) -> None:
    """Write every hundredth picture anew."""
    dice = random.Random(2)
    for number in dice.sample(range(files), files // 100):
        path = folder / f"c{number % 50:02d}" / f"{number:06d}.png"
        path.unlink()
        path.write_bytes(picture(dice))
        _settle(path, 600)


def _settle(path: Path, ago: float) -> None:
    moment = time.time() - ago
    os.utime(path, (moment, moment))


def size_of(folder: Path) -> int:
    """Bytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def ours(work: Path, pictures: Path, files: int) -> tuple[dict[str, float], float]:
    """Seconds by step, and by how much the store grew with the change."""
    state = work / "ours"
    spec = DatasetSpec(
        name="pictures", source=f"{pictures}/*/*.png", key=("path",), time="modified", media=("content",),
        changes="replace", options={"time_from": "modified"},
    )  # fmt: skip
    start = datetime.now(UTC)

    def collect(minutes: int) -> int:
        """As a fresh process does it."""
        moment = start + timedelta(minutes=minutes)
        commit = DatasetStore(state, spec).collect(open_source(spec, work), until=moment, now=moment)
        return commit.version.rows if commit is not None else 0

    spent: dict[str, float] = {}
    spent["add"], rows = timed(lambda: collect(0))
    assert rows == files, rows
    before, first = size_of(state), DatasetStore(state, spec).version().id
    spent["nothing changed"], rows = timed(lambda: collect(1))
    assert rows == 0
    change(pictures, files)
    spent["1% changed"], rows = timed(lambda: collect(2))
    assert rows == files
    growth = size_of(state) / before - 1

    def read() -> int:
        store = DatasetStore(state, spec)
        digests = store.read(first, columns=["content"])["content"].to_list()
        return sum(map(len, store.contents(random.Random(0).sample(digests, min(files, _READ)))))

    spent[STEPS[3]], _ = timed(read)
    checked, verified = timed(lambda: DatasetStore(state, spec).verify(first).sound)
    assert verified
    print(f"trimtab verifies all {files:,} rows and contents of the first version in {checked:.2f} s")
    return spent, growth


def dvc(work: Path, pictures: Path, files: int, home: Path) -> tuple[dict[str, float], float]:
    """The same with DVC's command line, in a git repository."""
    repository = work / "dvc"
    repository.mkdir()
    environ = os.environ | {
        "DVC_NO_ANALYTICS": "1", "GIT_AUTHOR_NAME": "b", "GIT_AUTHOR_EMAIL": "b@b", "GIT_COMMITTER_NAME": "b",
        "GIT_COMMITTER_EMAIL": "b@b", "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(work / "site"),
    }  # fmt: skip

    def sh(command: str) -> str:
        done = subprocess.run(
            command, shell=True, check=True, cwd=repository, env=environ, capture_output=True, text=True
        )
        return done.stdout

    sh("git init -q . && dvc init -q && git add -A && git commit -qm init")
    shutil.copytree(pictures, repository / "pictures")
    spent: dict[str, float] = {}
    spent["add"], _ = timed(lambda: sh("dvc add -q pictures && git add -A && git commit -qm v1 && git tag v1"))
    before = size_of(repository / ".dvc")
    spent["nothing changed"], _ = timed(lambda: sh("dvc add -q pictures"))
    change(repository / "pictures", files)
    spent["1% changed"], _ = timed(lambda: sh("dvc add -q pictures && git add -A && git commit -qm v2"))
    growth = size_of(repository / ".dvc") / before - 1
    program = work / "read.py"
    program.write_text(_READ_DVC.format(count=_READ))
    spent[STEPS[3]] = json.loads(sh(f"{home / 'bin' / 'python'} {program}"))
    return spent, growth


def environment(folder: Path) -> Path:
    """An environment with DVC, made when it is not there."""
    home, made = folder / "dvc", folder / "dvc" / "made-of.txt"
    if not made.exists() or made.read_text("utf-8") != DVC:
        print("installing DVC ...", file=sys.stderr, flush=True)
        venv.create(home, with_pip=True, clear=True)
        command = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", DVC]
        subprocess.run(command, check=True)
        made.write_text(DVC, "utf-8")
    return home.absolute()


def main() -> None:
    """Print seconds by step, beside DVC's where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="install DVC below this folder and measure it too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        make(work / "pictures", asked.files)
        theirs = None
        if asked.peers is not None:
            theirs = dvc(work, work / "pictures", asked.files, environment(asked.peers))
        mine = ours(work, work / "pictures", asked.files)
        print(f"{asked.files:,} pictures of {size_of(work / 'pictures') / asked.files:,.0f} bytes")
        print(f"{'':44} {'trimtab':>10}" + (f" {'DVC':>10}   of DVC" if theirs else ""))
        for step in STEPS:
            line = f"{step:44} {mine[0][step]:8.2f} s"
            print(line + (f" {theirs[0][step]:8.2f} s {mine[0][step] / theirs[0][step]:8.1%}" if theirs else ""))
        line = f"{'growth with 1% changed':44} {mine[1]:10.2%}"
        print(line + (f" {theirs[1]:10.2%}" if theirs else ""))


if __name__ == "__main__":
    main()
