"""What a drift check costs and finds: seconds and memory for one window against its reference.

    python benchmarks/drift.py [--rows 200000] [--columns 50] [--repeat 3] [--peers] [--folder DIR] [--json]

Reference, an unchanged window and a shifted one of `--rows` rows: three fifths of the columns are numbers, the rest
categories; five numbers and three categories shift (mean by 0.1 and 0.5 deviations, scale by 1.2, 2% outliers, a
lognormal by 0.2; categories by 5% and 15% of the rows, and 1% of a new value). Each contender runs in a process of its
own from Parquet files: `fit` prepares the reference, `window` is one comparison (reading included, the least of
`--repeat`). The bound is histograms by hand in Polars, streaming, and nothing but KS, PSI and TV on them.
Trimtab counts a column as moved when the lower end of its effect's interval is above 0.005, the bound where the bare
distance is above limits chosen by hand for a million rows. `--peers` adds Evidently and alibi-detect, each from its own
environment made in `--folder` (this installs them).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

PEERS = {
    "evidently": ("evidently==0.7.21", "pandas<3", "pyarrow"),
    "alibi-detect": ("alibi-detect==0.13.0", "pyarrow<20"),
}
LEAST = 0.005
BINS = 100
WINDOWS = ("same", "shift")


def main() -> None:
    """Measure, and print one table; with `--step` be one contender."""
    parser = argparse.ArgumentParser(description="what a drift check costs and finds")
    parser.add_argument("--rows", type=int, default=200_000, help="rows of reference and window (default: 200000)")
    parser.add_argument("--columns", type=int, default=50, help="columns, at least 10 (default: 50)")
    parser.add_argument("--repeat", type=int, default=3, help="comparisons of each window (default: 3)")
    parser.add_argument("--peers", action="store_true", help="install and run the peers as well")
    parser.add_argument("--folder", type=Path, help="where to put data and environments (default: temporary)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--step", choices=[*STEPS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        json.dump(step(args.step, args.folder, args.repeat), sys.stdout)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        data = Path(name)
        write(data, args.rows, args.columns)
        found = {peer: run(peer, sys.executable, data, args.repeat) for peer in ("trimtab", "polars by hand")}
        if args.peers:
            home = args.folder or data
            found |= {peer: run(peer, environment(peer, home), data, args.repeat) for peer in PEERS}
    if args.json:
        json.dump(found, sys.stdout, indent=1)
    else:
        sys.stdout.write(table(found, args.rows, args.columns))


def names(columns: int) -> tuple[list[str], list[str]]:
    """Names of the numbers and of the categories."""
    numbers = columns * 3 // 5
    return [f"n{i}" for i in range(numbers)], [f"c{i}" for i in range(columns - numbers)]


def write(folder: Path, rows: int, columns: int) -> None:
    """Write reference, unchanged and shifted rows as Parquet."""
    import polars as pl

    for seed, name in enumerate(("reference", *WINDOWS), start=1):
        frame = pl.DataFrame(make(seed, rows, columns, shifted=name == "shift"))
        frame.write_parquet(folder / f"{name}.parquet", row_group_size=100_000)


def make(seed: int, rows: int, columns: int, *, shifted: bool) -> dict[str, Any]:
    """Columns of one window."""
    r = np.random.default_rng(seed)
    numbers, categories = names(columns)
    made: dict[str, Any] = {}
    labels = np.array([f"v{k}" for k in range(11)])
    for i, name in enumerate(numbers):
        x = r.normal(size=rows) if i % 5 < 3 else r.lognormal(0, 0.7, rows) if i % 5 == 4 else r.gamma(2, 1, rows)
        if shifted and i < 5:
            x = (x + 0.1, x + 0.5, x * 1.2, np.where(r.random(rows) < 0.02, x + 8, x), x * np.exp(0.2))[i]
        made[name] = x
    for i, name in enumerate(categories):
        shares = np.random.default_rng(100 + i).dirichlet(np.full(10, 3.0))
        if shifted and i < 2:
            moved = (0.05, 0.15)[i]
            moved = min(moved, float(shares.max()) * 0.9)
            most, least = shares.argmax(), shares.argmin()
            shares[most] -= moved
            shares[least] += moved
        codes = r.choice(10, rows, p=shares / shares.sum())
        if shifted and i == 2:
            codes = np.where(r.random(rows) < 0.01, 10, codes)
        made[name] = labels[codes]
    return made


def run(peer: str, python: str, data: Path, repeat: int) -> dict[str, Any]:
    """One contender in a process of its own: its figures and its peak memory."""
    command = [python, str(Path(__file__).resolve()), "--step", peer, "--folder", str(data), "--repeat", str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    moved = {"n0", "n1", "n2", "n3", "n4", "c0", "c1", "c2"}
    alarms = [*figures.pop("same"), *(set(figures["shift"]) - moved)]
    return figures | {"found": len(moved & set(figures.pop("shift"))), "of": len(moved), "false alarms": len(alarms)}


def step(peer: str, data: Path, repeat: int) -> dict[str, Any]:
    """Fit the reference, then compare each window `repeat` times."""
    start = time.perf_counter()
    compare = STEPS[peer](data)
    figures: dict[str, Any] = {"fit": time.perf_counter() - start}
    spent = []
    for window in WINDOWS:
        for _ in range(repeat):
            start = time.perf_counter()
            figures[window] = compare(window)
            spent.append(time.perf_counter() - start)
    return figures | {"window": min(spent), "memory": peak_memory()}


def peak_memory() -> float:
    """Peak resident memory of this process in MiB: the kernel's own mark, since getrusage keeps that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(peak.split()[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def columns_of(data: Path) -> tuple[list[str], list[str]]:
    """The columns as they were written."""
    import pyarrow.parquet as pq

    found = pq.read_schema(data / "reference.parquet").names
    return [c for c in found if c.startswith("n")], [c for c in found if c.startswith("c")]


def trimtab(data: Path) -> Any:
    """Profile of the encoded reference; drift of the encoded window, with intervals."""
    import polars as pl

    from trimtab.inference.encode import encode_frame
    from trimtab.monitoring.drift import drift
    from trimtab.monitoring.profile import build
    from trimtab.records.model import Feature, Signature

    numbers, categories = columns_of(data)
    reference = pl.read_parquet(data / "reference.parquet")
    known = {name: tuple(sorted(reference[name].unique())) for name in categories}
    features = (
        *(Feature(name=name, kind="number") for name in numbers),
        *(Feature(name=name, kind="category", vocabulary=values) for name, values in known.items()),
    )
    signature = Signature(task="regression", inputs=(), features=features)
    profile = build(encode_frame(reference, signature), signature)
    del reference

    def compare(window: str) -> list[str]:
        matrix = encode_frame(pl.read_parquet(data / f"{window}.parquet"), signature)
        return sorted({column.column for column in drift(profile, matrix) if column.low > LEAST})

    return compare


def by_hand(data: Path) -> Any:
    """Histograms in Polars, and the three distances on them."""
    import polars as pl

    numbers, categories = columns_of(data)
    head = pl.scan_parquet(data / "reference.parquet").head(200_000).collect()
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = {name: np.unique(np.quantile(head[name].to_numpy(), inner)).tolist() for name in numbers}
    del head

    def histograms(window: str) -> dict[str, dict[Any, int]]:
        scan = pl.scan_parquet(data / f"{window}.parquet")
        asked = [scan.select(pl.col(c).cut(edges[c]).to_physical().value_counts()) for c in numbers]
        asked += [scan.select(pl.col(c).value_counts()) for c in categories]
        answers = pl.collect_all(asked, engine="streaming")
        return {name: _counted(frame) for name, frame in zip([*numbers, *categories], answers, strict=True)}

    before = histograms("reference")

    def compare(window: str) -> list[str]:
        now = histograms(window)
        moved = []
        for name, counts in before.items():
            cells = sorted(set(counts) | set(now[name]), key=lambda cell: (str(type(cell)), cell))
            p = np.array([counts.get(cell, 0) for cell in cells], dtype=float)
            q = np.array([now[name].get(cell, 0) for cell in cells], dtype=float)
            p, q = p / p.sum(), q / q.sum()
            ordered = name in edges
            distance = np.abs(np.cumsum(p - q)).max() if ordered else np.abs(p - q).sum() / 2
            low, high = np.maximum(p, 1e-6), np.maximum(q, 1e-6)
            psi = float(((high - low) * np.log(high / low)).sum())
            if distance > 0.0075 or psi > 0.01:
                moved.append(name)
        return moved

    return compare


def _counted(frame: pl.DataFrame) -> dict[Any, int]:
    """The answer of `value_counts` as a dict."""
    series = frame.to_series()
    names_of = series.struct.fields
    return dict(zip(series.struct.field(names_of[0]), series.struct.field(names_of[1]), strict=True))


def evidently(data: Path) -> Any:
    """Evidently's data drift preset, as it comes."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers, categories = columns_of(data)
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)

    def dataset(window: str) -> Any:
        return Dataset.from_pandas(pd.read_parquet(data / f"{window}.parquet"), data_definition=definition)

    reference = dataset("reference")

    def compare(window: str) -> list[str]:
        metrics = Report([DataDriftPreset()]).run(dataset(window), reference).dict()["metrics"]
        drifted = []
        for metric in metrics:
            config, value = metric.get("config", {}), metric.get("value")
            if config.get("column") and isinstance(value, int | float) and value >= config.get("threshold", 0.1):
                drifted.append(config["column"])
        return drifted

    return compare


def alibi_detect(data: Path) -> Any:
    """alibi-detect's TabularDrift: KS and chi-squared tests with Bonferroni's correction."""
    import pandas as pd
    from alibi_detect.cd import TabularDrift

    numbers, categories = columns_of(data)
    names_of = [*numbers, *categories]

    def matrix(window: str) -> Any:
        frame = pd.read_parquet(data / f"{window}.parquet")
        for name in categories:
            frame[name] = frame[name].str[1:].astype("float32")
        return frame[names_of].to_numpy(dtype="float32")

    places = {len(numbers) + i: None for i in range(len(categories))}  # the values of the reference
    detector = TabularDrift(matrix("reference"), p_val=0.05, correction="bonferroni", categories_per_feature=places)

    def compare(window: str) -> list[str]:
        answer = detector.predict(matrix(window))["data"]
        return [names_of[i] for i in np.flatnonzero(answer["p_val"] < answer["threshold"])]

    return compare


STEPS = {"trimtab": trimtab, "polars by hand": by_hand, "evidently": evidently, "alibi-detect": alibi_detect}


def environment(peer: str, home: Path) -> str:
    """The peer's own Python, installed on first use."""
    folder = home / f"venv-{peer}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS[peer]], check=True)
    return str(python)


def table(found: dict[str, dict[str, Any]], rows: int, columns: int) -> str:
    """The figures as a Markdown table."""
    lines = [
        f"{rows:,} rows, {columns} columns",
        "",
        "| | fit s | window s | of the bound | MiB | found | false alarms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    bound = found["polars by hand"].get("window", float("nan"))
    for peer, f in found.items():
        if "error" in f:
            lines.append(f"| {peer} | failed: {f['error']} | | | | | |")
            continue
        cells = (
            peer,
            f"{f['fit']:.2f}",
            f"{f['window']:.3f}",
            f"{f['window'] / bound:.2f}",
            f"{f['memory']:.0f}",
            f"{f['found']} of {f['of']}",
            f"{f['false alarms']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
