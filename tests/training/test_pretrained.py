"""A pretrained model beside the code: what it is known by, and the threshold that goes with it to the server."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.training.outcomes import Job, Real, trained

from trimtab.inference.encode import encode_frame
from trimtab.inference.model import load_model
from trimtab.records.blobs import Blobs
from trimtab.training.again.reproduce import reproduce
from trimtab.training.trainer import Trainer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "frameworks.md"
(SHOWN,) = (
    block
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if "weights.onnx" in block
)
INPUTS = tuple(f"f{i}" for i in range(10))


def weights(rows: pl.DataFrame, strength: float) -> bytes:
    """What somebody has trained elsewhere."""
    x = rows.select(INPUTS).to_numpy().astype(np.float32)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(x, rows["y"].to_numpy())
    made: bytes = to_onnx(model, x[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    return made


def test_a_pretrained_model_with_a_false_accept_rate(trainer: Trainer, blobs: Blobs, job: Job, real: Real) -> None:
    elsewhere, rows = real("binary_classification")[0].head(150), real("binary_classification")
    train, valid = rows[0].tail(rows[0].height - 150), rows[1]
    asked = job(SHOWN, inputs=INPUTS, params={"false_accept_rate": 0.05})
    file = Path(asked.root) / "weights.onnx"
    file.write_bytes(weights(elsewhere, 0.01))
    fact = trained(trainer.train(asked, train, valid)).fact
    assert 0.0 < fact.bundle.signature.threshold != 0.5
    assert "weights.onnx" in fact.code_files
    scores = load_model(blobs, fact.bundle).scores(encode_frame(train.select(INPUTS), fact.bundle.signature))
    accepted = (scores >= fact.bundle.signature.threshold)[train["y"].to_numpy() == 0].mean()
    assert 0.0 < accepted <= 0.05, "the declared rate holds on the rows that it was chosen on, with the exported model"
    held = encode_frame(valid.select(INPUTS), fact.bundle.signature)
    yes = load_model(blobs, fact.bundle).scores(held) >= fact.bundle.signature.threshold
    truth = valid["y"].to_numpy() == 1
    precision = fact.metrics["quality.precision"].figure
    assert precision is not None
    assert abs(precision - (yes & truth).sum() / yes.sum()) < 1e-9, "figures are of the model's own threshold"
    assert reproduce(trainer, blobs, fact, train, valid).outcome == "identical"

    file.write_bytes(weights(elsewhere, 1.0))
    other = trained(trainer.train(asked, train, valid))
    assert not other.again
    assert other.fact.identity.code != fact.identity.code, "other bytes are another model"
    assert (other.fact.identity.params, other.fact.identity.data) == (fact.identity.params, fact.identity.data)
