"""Contributions are those of the package shap, on models of real rows."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.records.model import Feature, Signature
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import export

pytestmark = pytest.mark.component
PYTHON = Path(__file__).parents[3] / "build" / "components" / "shap" / "bin" / "python"
BINARY: Task = "binary_classification"
SEVERAL: Task = "multiclass_classification"
NUMBER: Task = "regression"


@pytest.fixture(scope="session")
def shap() -> Path:
    """The interpreter that has it."""
    if not PYTHON.exists():
        say = "shap is not there: run tools/component shap"
        if os.environ.get("CI"):
            pytest.fail(say)
        pytest.skip(say)
    return PYTHON


@pytest.mark.parametrize(
    ("task", "model"),
    [
        (BINARY, RandomForestClassifier(20, random_state=0)),
        (BINARY, HistGradientBoostingClassifier(max_iter=30)),
        (BINARY, GradientBoostingClassifier(n_estimators=30)),
        (BINARY, lgb.LGBMClassifier(n_estimators=30, n_jobs=1, verbose=-1)),
        (SEVERAL, ExtraTreesClassifier(20, random_state=0)),
        (SEVERAL, HistGradientBoostingClassifier(max_iter=30)),
        (NUMBER, RandomForestRegressor(20, random_state=0)),
        (NUMBER, HistGradientBoostingRegressor(max_iter=30)),
        (NUMBER, DecisionTreeRegressor(random_state=0)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_same_values(task: Task, model: Any, shap: Path, tmp_path: Path) -> None:
    data = {BINARY: load_breast_cancer, SEVERAL: load_wine, NUMBER: load_diabetes}[task]()
    x = data.data.astype(np.float32)
    model.fit(x, data.target)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "rows.npy", x[:100])
    words = [shap, Path(__file__).with_name("values.py"), *(tmp_path / n for n in ("model.pkl", "rows.npy", "out.npz"))]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    theirs = np.load(tmp_path / "out.npz")
    signature = Signature(
        task=task,
        inputs=(),
        features=tuple(Feature(name=f"f{i}", kind="number") for i in range(x.shape[1])),
        classes=() if task == NUMBER else tuple(map(str, range(len(set(data.target))))),
    )
    exported = Model.load(export(model, signature), signature)
    told = Explainer(explainer_of(model, exported, x, x), exported).explain_all(x[:100])
    values = theirs["values"]
    values = values[:, :, None] if values.ndim == 2 else values[:, :, -len(told.base) :]
    assert told.contributions == pytest.approx(values.transpose(0, 2, 1), abs=1e-6)
    assert told.base == pytest.approx(theirs["base"][-len(told.base) :], abs=1e-6)
