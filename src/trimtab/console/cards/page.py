"""The card as one HTML page that needs nothing beside it."""

from __future__ import annotations

from trimtab.console import words
from trimtab.console.cards import words as card_words
from trimtab.console.cards.card import ModelCard
from trimtab.console.cards.charts import curve_chart, reliability_chart
from trimtab.console.charts import padded
from trimtab.console.interval_strip import span_of, strip
from trimtab.console.page import page
from trimtab.loop.analysis.kept import Curve

MOST_FEATURES = 20
_MOST_GROUPS = 40


def card_page(card: ModelCard) -> str:
    """The whole page. Raises PermanentError when jinja2 is not installed."""
    told = card.analysis
    curves = told.curves if told is not None else ()
    values = padded(*_range(curves)) if curves else (0.0, 1.0)
    numbers = [(curve, curve_chart(curve, values)) for curve in curves if not curve.words and len(curve.points) > 1]
    named = [(curve, _named(curve)) for curve in curves if curve.words]
    return page(
        "card.html.j2",
        "report.css",
        "pages.css",
        card=card,
        told=told,
        card_words=card_words,
        curves=numbers,
        named=named,
        reliability=reliability_chart(told.reliability) if told is not None and told.reliability else "",
        personal=[column.name for one in card.data for column in one.columns if column.personal],
        features=_features(card),
        groups=_groups(card),
        breaks=card_words.breaks(card),
        unlike=card_words.unlike(card),
    )


def _range(curves: tuple[Curve, ...]) -> tuple[float, float]:
    ends = [end for curve in curves for point in curve.points for end in (point.low, point.high)]
    return min(ends), max(ends)


def _named(curve: Curve) -> list[tuple[str, str, str]]:
    """For each category: its word, its figure, and the strip."""
    span = span_of(end for point in curve.points for end in (point.low, point.high))
    return [
        (
            word,
            f"{100 * point.share:.1f}%",
            strip(f"{curve.feature} {word}", point.figure, point.low, point.high, span),
        )
        for word, point in zip(curve.words, curve.points, strict=True)
    ]


def _features(card: ModelCard) -> list[tuple[str, str, str, str, str]]:
    """Name, contribution, its bar, loss, its strip: the features that contribute the most first."""
    told = card.analysis
    if told is None:
        return []
    names = list(told.contributions) or sorted(told.losses, key=lambda name: -told.losses[name].figure)
    shown = names[:MOST_FEATURES]
    sizes = span_of((told.contributions[n].high for n in shown if n in told.contributions), 0.0)
    costs = span_of((end for n in shown if n in told.losses for end in (told.losses[n].low, told.losses[n].high)), 0.0)
    found = []
    for name in shown:
        size, cost = told.contributions.get(name), told.losses.get(name)
        found.append(
            (
                name,
                words.significant(size.figure) if size else "",
                strip(name, size.figure, size.low, size.high, (0.0, sizes[1]), bar=True) if size else "",
                words.plus(cost.figure) if cost else "",
                strip(name, cost.figure, cost.low, cost.high, costs, mark=0.0, signed=True) if cost else "",
            )
        )
    return found


def _groups(card: ModelCard) -> list[tuple[str, str, int, list[tuple[object, str]]]]:
    """For each column and criterion: how many groups differ beyond chance, and its rows with their strips."""
    found = []
    for column, by_metric in (card.analysis.groups if card.analysis else {}).items():
        for metric, compared in by_metric.items():
            span = span_of((end for one in compared for end in (one.low, one.high)), 0.0)
            rows: list[tuple[object, str]] = [
                (
                    one,
                    strip(
                        one.group, one.difference, one.low, one.high, span, mark=0.0, signed=True,
                        class_="apart" if one.apart else "",
                    ),
                )
                for one in compared[:_MOST_GROUPS]
            ]  # fmt: skip
            found.append((column, metric, sum(one.apart for one in compared), rows))
    return found
