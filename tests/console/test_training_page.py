"""The page of a training: which curves go together, that long ones keep their peaks, and what is escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.console.trials.curves import curves_chart, together
from trimtab.console.trials.training_page import training_page
from trimtab.experiments.port import Curve
from trimtab.records.tracking import Energy, Environment, Load, SourceState, Training


def curve(name: str, values: list[float] | np.ndarray, fit: str = "evaluated") -> Curve:
    told = np.asarray(values, dtype=np.float64)
    steps = np.arange(len(told), dtype=np.int64)
    return Curve(fit, name, steps, told, steps)  # type: ignore[arg-type]


def training(**more: object) -> Training:
    return Training(
        id="f8e3c65c67021105", outcome="trained", started=datetime(2013, 3, 1, tzinfo=UTC), seconds=42.0, **more
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (["train_loss", "valid_loss"], "loss"),
        (["loss/train", "loss/val"], "loss"),
        (["train/auc", "eval/auc"], "auc"),
    ],
)
def test_parts_of_one_metric_go_together(names: list[str], common: str) -> None:
    found = together([curve(name, [1.0]) for name in [*names, "rate"]])
    assert [(name, len(group)) for name, group in found] == [(common, 2), ("rate", 1)]


@given(st.integers(500, 5_000), st.integers(0, 2**32 - 1))
def test_a_long_curve_keeps_its_ends_and_its_peaks(count: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    values = dice.normal(size=count)
    spike = int(dice.integers(0, count))
    values[spike] = 1e3
    drawn = curves_chart("loss", [("", curve("loss", values))])
    (d,) = re.findall(r'<path d="M([^"]*)" class="series s0"', drawn)
    points = np.array([float(number) for number in d.split()]).reshape(-1, 2)
    assert len(points) <= 402
    assert points[:, 0].tolist() == sorted(points[:, 0])
    assert points[:, 1].min() == pytest.approx(10.0 + 172 * 0.08 / 1.16, abs=2.0)  # the spike is at the top


def test_what_is_not_finite_is_left_out() -> None:
    assert curves_chart("loss", [("", curve("loss", [float("nan"), float("inf")]))]) == ""
    drawn = curves_chart("loss", [("", curve("loss", [1.0, float("nan"), 0.5]))])
    assert "nan" not in drawn.lower()


def test_the_page_tells_all_that_is_known() -> None:
    text = training_page(
        "flights",
        training(
            params={"rate": "<0.1>"},
            environment=Environment(python="CPython 3.11", system="Linux", processor="EPYC", cores=2, threads=1,
                                    memory=2**34, libraries={"numpy": "2.4"}),
            load=Load(cpu_seconds=30.0, cores_busy=0.9, memory_mean=1e8, memory_peak=2e8),
            energy=Energy(joules=7200.0, basis="usual power"),
            source=SourceState(commit="c0ffee" * 6, branch="main", changed=("model.py",), patch="p"),
            figures={"quality.roc_auc": 0.7, "resources.model_size": 2048.0},
        ),
        [curve("train_loss", [1.0, 0.5]), curve("memory", [2.0**20, 2.0**21], fit="system")],
        "--- a/model.py\n+++ b/model.py\n-<old>\n+<new>\n",
    )  # fmt: skip
    for told in ("2 Wh", "usual power", "EPYC", "with changes that no commit holds", "2.00 KiB", "memory, MiB"):
        assert told in text, told
    assert '<span class="added">+&lt;new&gt;</span>' in text
    assert "&lt;0.1&gt;" in text
    assert "<new>" not in text


def test_a_training_that_failed_says_why() -> None:
    failed = Training(
        id="f8e3", outcome="failed", started=datetime(2013, 3, 1, tzinfo=UTC), seconds=3.0, reason="train() raised"
    )
    text = training_page("flights", failed, [], "")
    assert "train() raised" in text
    assert "trimtab.log_metrics" in text
