"""Whole processes: a status, and a round of the loop with nothing to do, on a settled system.

The system is made for the measurement: 20,000 rows in one Parquet file, a scikit-learn model, requirements on data and
quality. A bare interpreter and one that imports what a pass cannot do without are in the same run: they are the bound.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

DECLARATION = """
[system]
name = "settled"
problem = "A system on which there is nothing to do"
task = "binary_classification"

[requirements]
"quality.roc_auc" = ">= 0.6"
"data.completeness" = { limit = ">= 0.99", columns = ["a", "b"] }
"data.uniqueness" = ">= 0.99"

[[data]]
name = "rows"
source = "rows.parquet"
key = "id"
time = "at"
label = "truth"
label_delay = "1 h"

[model]
code = "model.py"
holdout = "5 d"

[policy]
retrain_on = ["concept_drift", "new_rows:100%", "code_changed"]
release = ["live"]
"""
MODEL = """
from sklearn.linear_model import LogisticRegression


def train(train, valid, params):
    return LogisticRegression().fit(train.x, train.y)
"""


def make(folder: Path, rows: int) -> None:
    """Write the declaration, the model and rows of the last 30 days."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, rows))
    end = datetime.now(UTC) - timedelta(hours=2)
    moments = [end - timedelta(seconds=30 * 86400 * i / rows) for i in range(rows)][::-1]
    truth = (random.random(rows) < 1 / (1 + np.exp(-2 * a))).astype(np.int8)
    table = {"id": [f"r{i}" for i in range(rows)], "at": moments, "a": a, "b": b, "truth": truth}
    pl.DataFrame(table).write_parquet(folder / "rows.parquet")
    (folder / "trimtab.toml").write_text(DECLARATION)
    (folder / "model.py").write_text(MODEL)


def seconds(command: list[str], runs: int) -> list[float]:
    """Wall seconds of each run of a whole process, after one that is not counted and leaves compiled modules behind."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        found.append(time.perf_counter() - start)
    return found[1:]


def main() -> int:
    """Measure and print one table; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="trimtab-bench-"))
    trimtab = [sys.executable, "-m", "trimtab.cli.main"]
    try:
        make(folder, args.rows)
        settled = subprocess.run([*trimtab, "run", str(folder)], check=False, capture_output=True, text=True)
        if "is live" not in settled.stdout + settled.stderr:
            sys.stderr.write(settled.stdout + settled.stderr)
            return 1
        cases = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "imports of a pass (Polars, SQLAlchemy)": [sys.executable, "-c", "import polars, sqlalchemy"],
            "trimtab status": [*trimtab, "status", str(folder)],
            "trimtab run, nothing to do": [*trimtab, "run", str(folder)],
        }
        print(f"{'whole process':<48}{'median s':>10}{'min':>8}{'max':>8}")
        for name, command in cases.items():
            found = seconds(command, args.runs)
            print(f"{name:<48}{statistics.median(found):>10.3f}{min(found):>8.3f}{max(found):>8.3f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
