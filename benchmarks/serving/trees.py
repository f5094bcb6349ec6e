"""LightGBM of 100 trees on 30 numbers, one row a request as JSON: the usual model of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from workload import Workload


def trees(folder: Path) -> Workload:
    """The model on real rows, as `trimtab` exports it."""
    from lightgbm import LGBMClassifier
    from sklearn.datasets import load_breast_cancer

    from trimtab.training.export.export import export

    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, verbose=-1).fit(x, y)
    rival = LGBMClassifier(n_estimators=100, num_leaves=30, n_jobs=1, verbose=-1).fit(x, y)
    described = _signature(x.shape[1])
    graph, path = export(model, described), folder / "trees.onnx"
    path.write_bytes(graph)
    return Workload(
        title="LightGBM, 100 trees, 30 numbers, one row a request as JSON",
        path=path,
        graph=graph,
        rival=export(rival, described),
        signature=described,
        row=x[0],
        expected=float(model.predict_proba(x[:1])[0, 1]),
        datatype="FP32",
    )


def _signature(features: int) -> Any:
    from trimtab.records.model import Column, Feature, Signature

    names = [f"x{number}" for number in range(features)]
    return Signature(
        task="binary_classification",
        inputs=tuple(Column(name=name, kind="number") for name in names),
        features=tuple(Feature(name=name, kind="number") for name in names),
        classes=("malignant", "benign"),
    )
