"""The pages of a card, an experiment, a training and a search in a real browser: any width, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.adapters.chromium.chrome import Chrome
from tests.console import history
from tests.console.test_search_page import page as search

from trimtab.console.cards.card import collect_card
from trimtab.console.cards.page import card_page
from trimtab.console.trials.experiment_page import ExperimentReport, experiment_page
from trimtab.console.trials.training_page import training_page
from trimtab.declaration.system import CardSpec
from trimtab.deployment.package.contents import DataColumn, DataReference
from trimtab.experiments.port import Curve
from trimtab.experiments.spec import Change, Expectation, ExperimentSpec
from trimtab.loop.analysis import kept
from trimtab.loop.analysis.kept import Bin, Contribution, ModelAnalysis
from trimtab.loop.trials.effects import Effects, Figures, SliceEffect, Worth
from trimtab.measures.comparison.groups import Compared
from trimtab.measures.comparison.reliance import Loss, Point
from trimtab.records.facts import ModelTrained
from trimtab.records.journal import Draft
from trimtab.records.ledger import Ledger
from trimtab.records.studies import ExperimentFinished, Round
from trimtab.records.tracking import Energy, Environment, SourceState, Training

pytestmark = pytest.mark.component
LONG = "a_feature_with_quite_a_long_name_indeed"


def analysis(model: str) -> ModelAnalysis:
    dice = np.random.default_rng(2)
    names = ["clock_minutes", "distance", "carrier", LONG, *(f"feature_{n}" for n in range(20))]
    curve = tuple(
        Point(value=60.0 * n, figure=0.1 + 0.02 * n, low=0.08 + 0.02 * n, high=0.13 + 0.02 * n, share=n / 12)
        for n in range(12)
    )
    groups = tuple(
        Compared(
            group=name, rows=400, figure=0.5 + shift, others=0.5, difference=shift, low=shift - 0.1, high=shift + 0.1,
            ratio=1 + 2 * shift, ratio_low=0.8, ratio_high=1.4,
        )
        for name, shift in (("UA", 0.02), ("B6", -0.2), ("Hawaiian Airlines Incorporated", 0.15))
    )  # fmt: skip
    return ModelAnalysis(
        model=model, rows=6000, asked=4000, same=True, method="tree_shap", unit="log-odds", metric="quality.roc_auc",
        contributions={n: Contribution(figure=1 / (i + 1), low=0.8 / (i + 1), high=1.2 / (i + 1))
                       for i, n in enumerate(names)},
        losses={n: Loss(figure=0.05 / (i + 1), low=-0.01, high=0.1 / (i + 1)) for i, n in enumerate(names)},
        curves=(kept.Curve(feature="clock_minutes", output="", points=curve),
                kept.Curve(feature="carrier", output="", points=curve[:3], words=("UA", "B6", "a long name of one"))),
        groups={"carrier": {"selected": groups, "quality.roc_auc": groups[:1]}},
        reliability=tuple(Bin(score=s, share=s + float(dice.normal(0, 0.03)), low=s - 0.05, high=s + 0.06, rows=600)
                          for s in np.linspace(0.05, 0.8, 10).tolist()),
    )  # fmt: skip


def card() -> str:
    system = history.system()
    data = DataReference(
        dataset="flights", source="python:sources:flights", version="643d9991aa" * 6, licence="CC0-1.0", used=True,
        key=("id",), time="at", label="late", rows=120_000, start=history.START, end=history.START,
        columns=(DataColumn(name="carrier", kind="category"), DataColumn(name="name", kind="category", personal=True)),
    )  # fmt: skip
    told = CardSpec(
        intended_use="Passengers re-plan", out_of_scope=("Crew planning",), owner="The flights team", licence="MIT"
    )
    from msgspec.structs import replace

    with Ledger.open(None) as ledger:
        ledger.append_all(Draft(key=e.key, fact=e.fact, at=e.at, measured=e.measured) for e in history.year())
        entry = list(ledger.entries(ModelTrained))[1]
        made = collect_card(
            replace(system, card=told), ledger, entry, analysis=analysis(entry.fact.identity.id), why="", data=(data,),
            size=190_000, now=datetime(2014, 1, 1, tzinfo=UTC), energy=(812.0, "usual power of the processor"),
        )  # fmt: skip
    return card_page(made)


def training() -> str:
    steps = np.arange(900, dtype=np.int64)
    curves = [
        Curve("evaluated", name, steps, np.exp(-steps / scale), steps)
        for name, scale in (("train_loss", 200), ("valid_loss", 300), ("a_metric_with_quite_a_long_name/valid", 400))
    ]
    curves.append(Curve("system", "memory", steps[:20], np.linspace(1e8, 3e8, 20), steps[:20]))
    told = Training(
        id="f8e3c65c67021105", outcome="trained", started=history.START, seconds=42.0, params={"rate": 0.1},
        figures={"quality.roc_auc": 0.7},
        environment=Environment(python="CPython 3.11.7", system="Linux 6.18", processor="AMD EPYC", cores=2, threads=1,
                                memory=2**34, libraries={f"library-{n}": "1.2.3" for n in range(90)}),
        energy=Energy(joules=812.0, basis="12 W a busy core"),
        source=SourceState(commit="c0ffee" * 6, branch="main", changed=("model.py",), patch="p"),
    )  # fmt: skip
    return training_page("flights", told, curves, "-" + "a line that is long " * 12 + "\n+short\n")


def experiment() -> str:
    spec = ExperimentSpec(
        name="weather", hypothesis="What the weather is raises the area under the ROC curve",
        expect=Expectation(metric="quality.roc_auc", comparison=">=", margin=0.005, text="roc_auc >= baseline + 0.005"),
        change=Change(add=("weather",)),
    )  # fmt: skip
    rounds = tuple(
        Round(folds=n, difference=0.02 - 0.001 * n, low=0.02 - 0.001 * n - 0.05 / n, high=0.02 - 0.001 * n + 0.05 / n,
              level=0.001 * n, rows=25_000 * n, blocks=28 * n, answer="supported" if n == 5 else "inconclusive",
              models=(("a", "b"),))
        for n in range(1, 6)
    )  # fmt: skip
    fact = ExperimentFinished(
        name="weather", hypothesis=spec.hypothesis, expect=spec.expect.text, metric="quality.roc_auc", margin=0.005,
        verdict="supported", why="quality.roc_auc +0.015 [0.005..0.025], expected >= 0.005", reference=0.71,
        changed=0.725, difference=0.015, low=0.005, high=0.025, smallest_detectable=0.012, dataset="flights",
        dataset_version="643d9991aa", changed_by=("with humid, wind_dir, wind_speed, precip, visib",), rounds=rounds,
    )  # fmt: skip
    effects = Effects(
        figures=tuple(
            Figures(period=n, seed=s, reference=0.7, changed=0.71 + n / 900,
                    start=history.START + timedelta(days=28 * n), end=history.START + timedelta(days=28 * n + 28))
            for n in range(5) for s in (0, 1)
        ),
        slices=tuple(SliceEffect(column="carrier", value=v, rows=900, difference=d, low=d - 0.02, high=d + 0.02)
                     for v, d in (("UA", 0.03), ("B6", -0.03), ("a carrier of a long name", 0.0))),
        worth=Worth(per_1000=12.0, low=3.0, high=20.0, answers_a_day=890.0), arms=None, left_out=(),
    )  # fmt: skip
    return experiment_page(
        ExperimentReport(
            system="flight-delays",
            currency="USD",
            spec=spec,
            at=history.START,
            fact=fact,
            effects=effects,
            hypotheses=3,
        )
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (card, ("Intended use", "Whom it serves", "What it relies on", "812 J", "Limits", "beyond chance")),
        (experiment, ("supported", "Look by look", "By period and seed", "By carrier", "Worth in 30 days")),
        (training, ("What it logged", "The machine meanwhile", "812 J", "with changes that no commit holds")),
        (search, ("Every trial", "misses a requirement", "What it depends on", "All of it at once")),
    ],
    ids=["card", "experiment", "training", "search"],
)
def test_a_page_fits(
    chrome: Chrome, tmp_path: Path, make: Callable[[], str], words: tuple[str, ...], width: int, dark: bool
) -> None:
    page = tmp_path / f"{make.__name__}.html"
    page.write_text(make(), "utf-8")
    chrome.look(width, 900, dark=dark)
    chrome.open(page.as_uri())
    chrome.wait("document.readyState === 'complete' && document.querySelectorAll('section').length > 3")
    assert chrome.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert (chrome.run("getComputedStyle(document.body).backgroundColor") == "rgb(14, 20, 27)") == dark
    text = chrome.run("document.body.innerText")
    said = text.lower()
    assert [word for word in words if word.lower() not in said] == []
    assert "None" not in text.split()
    unnamed = "[...document.querySelectorAll('main svg[role=img]')].filter(s => !s.getAttribute('aria-label')).length"
    assert chrome.run(unnamed) == 0
    flat = "[...document.querySelectorAll('figure svg')].filter(s => s.getBoundingClientRect().height < 20)"
    assert chrome.run(f"{flat}.filter(s => !s.closest('table')).length") == 0
    assert not chrome.complaints
    chrome.keep_picture(f"{page.stem}-{width}-{'dark' if dark else 'light'}")
