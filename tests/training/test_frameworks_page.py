"""Every `train` that docs/frameworks.md shows is trained, exported and reproduced."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from tests.training.outcomes import Job, Real, trained

from trimtab.records.blobs import Blobs
from trimtab.training.again.reproduce import reproduce
from trimtab.training.trainer import Trainer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"
SHOWN = [
    block
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if "def train(" in block and "torch" not in block and "weights.onnx" not in block
]


@pytest.mark.parametrize("source", SHOWN, ids=lambda source: source.split()[1])
def test_what_the_page_shows_trains_and_is_reproduced(
    source: str, trainer: Trainer, blobs: Blobs, job: Job, real: Real
) -> None:
    some = pl.when(pl.int_range(pl.len()) % 20 == 3).then(None)
    train, valid = (rows.with_columns(some.otherwise("size").alias("size")) for rows in real("binary_classification"))
    asked = job(source, refit=True)
    fact = trained(trainer.train(asked, train, valid)).fact
    auc = fact.metrics["quality.roc_auc"].figure
    assert auc is not None
    assert auc > 0.9
    assert reproduce(trainer, blobs, fact, train, valid).outcome == "identical"
