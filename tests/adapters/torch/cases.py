"""Run where PyTorch is: `python cases.py FOLDER [device]`. Ends with `all held`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import polars as pl
import torch
from numpy.typing import NDArray
from onnxscript import FLOAT
from onnxscript import opset18 as op

from trimtab import OnnxModel, TrimtabError, calibrate, fit_module
from trimtab.inference.model import Model
from trimtab.records.metric import Task
from trimtab.records.model import Feature, Signature
from trimtab.training.export.explainer import explainer_of
from trimtab.training.export.export import difference, export, native_scores
from trimtab.training.rows import Rows as TrainingRows
from trimtab.training.torch_fit import prepare

DEVICE = sys.argv[2] if len(sys.argv) > 2 else "cpu"
FEATURES = 6


@dataclass
class Rows:
    """What `fit_module` learns from."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    seen: bool = False
    checkpoints: str = ""


class Net(torch.nn.Module):
    """Batch norm, an embedding of the last column, layer norm, dropout."""

    def __init__(self, width: int, *, flat: bool = False) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(FEATURES - 1)
        self.words = torch.nn.Embedding(4, 3)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(FEATURES + 2, 32),
            torch.nn.GELU(),
            torch.nn.LayerNorm(32),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(32, width),
        )
        self.flat = flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nan_to_num(x)
        words = self.words(x[:, -1].long() + 1)
        out: torch.Tensor = self.layers(torch.cat([self.norm(x[:, :-1]), words], dim=1))
        return out[:, 0] if self.flat else out


class Branching(torch.nn.Module):
    """Asks what the values are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] if x.sum() > 0 else x[:, 1]


def rows(task: Task, count: int, seed: int, **more: Any) -> Rows:
    """Rows whose label follows the first two columns and the category; some cells are missing."""
    dice = np.random.default_rng(seed)
    x = dice.normal(size=(count, FEATURES)).astype(np.float32)
    x[:, -1] = dice.integers(-1, 3, count)
    told = 2 * x[:, 0] - x[:, 1] + x[:, -1]
    x[dice.random(count) < 0.02, 2] = np.nan
    if task == "regression":
        return Rows(x, told.astype(np.float64) * 100, **more)
    edges = [0.5] if task == "binary_classification" else [-0.5, 1.5]
    return Rows(x, np.digitize(told, edges), **more)


def signature(task: Task, classes: int) -> Signature:
    """Of matrices without names."""
    features = tuple(Feature(name=f"f{i}", kind="number") for i in range(FEATURES))
    return Signature(task=task, inputs=(), features=features, classes=tuple(map(str, range(classes))))


def refusal(what: Any) -> str:
    """What a call is refused with."""
    try:
        what()
    except TrimtabError as error:
        return f"{error.message} ({error.hint})"
    raise AssertionError("it was not refused")


def exported_is_the_same(task: Task, classes: int, width: int, flat: bool, precision: Any = "auto") -> None:
    signed = signature(task, classes)
    made = []
    for _ in range(2):
        prepare(7, 1)
        module = fit_module(
            Net(width, flat=flat),
            rows(task, 2000, 1),
            rows(task, 500, 2),
            epochs=15,
            lr=0.02,
            device=DEVICE,
            precision=precision,
        )
        made.append(export(module, signed))
    assert made[0] == made[1] or DEVICE != "cpu", "two fits of the same gave two models"
    exported = Model.load(made[1], signed)
    held = rows(task, 800, 3)
    ours, theirs = exported.scores(held.x), native_scores(module, held.x, signed)
    assert difference(ours, theirs) < 1e-4
    assert np.allclose(exported.scores(held.x[:1]), ours[:1], atol=1e-5), "a row alone is answered otherwise"
    if task == "regression":
        assert np.corrcoef(ours, held.y)[0, 1] > 0.95
    else:
        guessed = ours.argmax(axis=1) if ours.ndim == 2 else ours > 0.5
        assert (guessed == held.y).mean() > 0.85, (guessed == held.y).mean()
    kept = explainer_of(module, exported, held.x, held.x)
    assert kept.trees is None
    assert min(kept.importance[:2]) > max(kept.importance[2:5]), kept.importance
    print(
        task,
        width,
        "flat" if flat else "",
        precision,
        f"{len(made[1]):,} bytes, differs by {difference(ours, theirs):.1e}",
    )


def refused() -> None:
    number = signature("regression", 0)
    assert "cannot be exported to ONNX" in refusal(lambda: export(Branching(), number))
    assert "does not take float32 [rows, 6]" in refusal(lambda: export(torch.nn.Linear(5, 1), number))
    assert "needs [rows, 1]" in refusal(lambda: export(torch.nn.Linear(6, 3), number))
    three = signature("multiclass_classification", 3)
    assert "needs [rows, 3]" in refusal(lambda: export(torch.nn.Linear(6, 2), three))
    train = rows("regression", 200, 1)
    blind = refusal(lambda: fit_module(torch.nn.Linear(6, 1), train, epochs=2, device=DEVICE))
    assert "not finite after epoch 1" in blind
    assert "nan_to_num" in blind
    train.x = np.nan_to_num(train.x)
    wild = refusal(lambda: fit_module(torch.nn.Linear(6, 1), train, epochs=50, lr=1e30, device=DEVICE))
    assert "lower lr" in wild
    assert "no device 'tpu'" in refusal(lambda: fit_module(torch.nn.Linear(6, 1), train, device="tpu"))
    shorter: Any = "float8"
    assert "no precision 'float8'" in refusal(lambda: fit_module(torch.nn.Linear(6, 1), train, precision=shorter))
    if not torch.cuda.is_available():
        there = refusal(lambda: fit_module(torch.nn.Linear(6, 1), train, device="cuda:1"))
        assert "CUDA was asked for and is not available" in there


def goes_on(folder: Path, precision: Any = "auto") -> None:
    """A fit broken off in its fifth epoch, and begun again: the same weights, and only the rest is computed."""
    task: Task = "binary_classification"

    def fit(kept: str, stop_at: int = 0) -> tuple[Any, int]:
        calls = [0]

        def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            if torch.is_grad_enabled():
                calls[0] += 1
                if calls[0] == stop_at:
                    raise KeyboardInterrupt
            return torch.nn.functional.binary_cross_entropy_with_logits(output, target)

        prepare(3, 1)
        train = rows(task, 64, 1, checkpoints=kept)
        valid = rows(task, 64, 2)
        module = Net(1)
        try:
            settings: Any = {"epochs": 8, "batch": 64, "patience": 8, "device": DEVICE, "precision": precision}
            fit_module(module, train, valid, loss=loss, **settings)
        except KeyboardInterrupt:
            return None, calls[0]
        return module, calls[0]

    whole, count = fit(str(folder / "whole"))
    assert count == 8
    _, broken = fit(str(folder / "broken"), stop_at=5)
    again, rest = fit(str(folder / "broken"))
    assert broken == 5
    assert rest < 8, "it began again"
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]) or DEVICE != "cpu", name
    assert fit(str(folder / "broken"))[1] == 0, "what was finished is not fitted again"
    for place in (folder / "broken").glob("*.pt"):
        place.write_bytes(b"half a file")
    assert fit(str(folder / "broken"))[1] == 8
    print("goes on after a kill:", rest, "of 8 epochs were left")


def second_fit(folder: Path) -> None:
    """Early stopping in the first fit decides the epochs of the second."""
    task: Task = "binary_classification"
    kept = str(folder / "second")
    counts = []
    for seen in (False, True):
        calls = [0]

        def loss(output: torch.Tensor, target: torch.Tensor, calls: list[int] = calls) -> torch.Tensor:
            calls[0] += torch.is_grad_enabled()
            return torch.nn.functional.binary_cross_entropy_with_logits(output, target)

        prepare(5, 1)
        train = rows(task, 80 + 40 * seen, 1, checkpoints=kept)
        train.y = np.random.default_rng(0).permutation(train.y)  # nothing to learn: it gets worse soon
        valid = rows(task, 200, 2, seen=seen)
        fit_module(Net(1), train, valid, loss=loss, epochs=200, batch=200, lr=0.05, patience=5, device=DEVICE)
        counts.append(calls[0])
    assert counts[0] < 200, "it did not stop early"
    assert counts[1] == counts[0] - 5, counts
    print("epochs:", counts)


def written_by_hand() -> None:
    """A function of onnxscript, with the module that it says the same as; and what is put right behind a module."""
    weights = np.array([[1.0], [0.5], [-2.0], [0.0], [0.0], [0.3]], dtype=np.float32)

    @onnxscript.script(default_opset=op)
    def by_hand(x: FLOAT[None, 6]) -> FLOAT[None, 1]:
        return op.MatMul(x, op.Constant(value=onnx.numpy_helper.from_array(weights)))

    signed = signature("binary_classification", 2)
    held = rows("binary_classification", 300, 3)
    x = np.nan_to_num(held.x)
    told = OnnxModel(by_hand, native=lambda cells: cells @ weights, logits=True)
    exported = Model.load(export(told, signed), signed)
    assert difference(exported.scores(x), native_scores(told, x, signed)) < 1e-6

    module = fit_module(Net(2), rows("binary_classification", 500, 1), epochs=5, lr=0.02, device=DEVICE)
    kind = [Feature(name=f"f{i}", kind="number") for i in range(FEATURES)]
    other = TrainingRows(
        x=held.x,
        y=held.y.astype(int),
        names=[feature.name for feature in kind],
        categorical=[],
        frame=pl.DataFrame(held.x),
        time=pl.Series(range(len(held.y))),
        signature=signed,
    )
    for method in ("sigmoid", "isotonic", "temperature"):
        found = calibrate(module, other, method)
        ours = Model.load(export(found, signed), signed).scores(held.x)
        assert difference(ours, native_scores(found, held.x, signed)) < 1e-4, method
    print("written by hand, and put right")


if __name__ == "__main__":
    exported_is_the_same("regression", 0, 1, flat=True)
    exported_is_the_same("binary_classification", 2, 1, flat=False)
    exported_is_the_same("binary_classification", 2, 2, flat=False)
    exported_is_the_same("multiclass_classification", 3, 3, flat=False)
    refused()
    if DEVICE == "cpu":
        exported_is_the_same("binary_classification", 2, 1, flat=True, precision="bfloat16")
        exported_is_the_same("multiclass_classification", 3, 3, flat=False, precision="float16")
        goes_on(Path(sys.argv[1]) / "half", "float16")
    written_by_hand()
    goes_on(Path(sys.argv[1]))
    second_fit(Path(sys.argv[1]))
    print("all held")
