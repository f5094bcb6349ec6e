"""One training as one HTML page: what it logged by step, what it ran on and used, the code it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trimtab.console import words
from trimtab.console.cards import words as card_words
from trimtab.console.page import page
from trimtab.console.trials.curves import curves_chart, together
from trimtab.declaration.requirements.catalog import metrics
from trimtab.experiments.port import Curve
from trimtab.records.tracking import Training

_MOST_CURVES = 60
_MOST_LINES = 400
_NAMES = {"evaluated": "What it logged", "shipped": "The second fit, on all rows", "system": "The machine meanwhile"}


def training_page(system: str, training: Training, curves: Sequence[Curve], patch: str) -> str:
    """The whole page. `patch` is how the code differs from its commit. Raises PermanentError when jinja2 is not
    installed."""
    drawn = []
    for fit, title in _NAMES.items():
        those = together([_scaled(curve) for curve in curves if curve.fit == fit])
        pictures = [
            (name, [part for part, _ in group if part], curves_chart(name, group))
            for name, group in those[:_MOST_CURVES]
        ]
        shown = [picture for picture in pictures if picture[2]]
        if shown:
            drawn.append((title, shown, max(0, len(those) - _MOST_CURVES)))
    lines = patch.splitlines()
    return page(
        "training.html.j2",
        "report.css",
        "pages.css",
        system=system,
        training=training,
        drawn=drawn,
        card_words=card_words,
        patch=[(line, _class(line)) for line in lines[:_MOST_LINES]],
        more=max(0, len(lines) - _MOST_LINES),
        size=lambda count: card_words.size(int(count)),
        figure=_figure,
    )


def _scaled(curve: Curve) -> Curve:
    """Bytes of the machine in MiB, which can be read."""
    if curve.fit != "system" or not curve.name.endswith("memory"):
        return curve
    return replace(curve, name=f"{curve.name}, MiB", values=curve.values / 2**20)


def _figure(name: str, value: float) -> str:
    known = metrics().get(name)
    if known is not None and known.unit == "size":
        return card_words.size(int(value))
    if known is not None and known.unit == "time":
        return card_words.trained(value)
    return words.significant(value, 4)


def _class(line: str) -> str:
    return "added" if line.startswith("+") else "removed" if line.startswith("-") else ""
