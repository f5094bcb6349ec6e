"""How a card puts things: the same words on the page and in the text."""

from __future__ import annotations

from trimtab.console import words
from trimtab.console.cards.card import Figure, ModelCard, Weakness
from trimtab.measures.comparison.groups import Compared
from trimtab.records.requirement import Estimate

CRITERIA = {
    "selected": "share answered positive",
    "true_positive_rate": "true positive rate",
    "false_positive_rate": "false positive rate",
    "mean_error": "mean error",
}
_PARITY = {
    "selected": "equal shares: demographic parity",
    "true_positive_rate": "equal rates: equality of opportunity",
    "false_positive_rate": "with equal true positive rates: equalised odds",
    "mean_error": "prediction less truth: which way it errs",
}


def metric_name(metric: str) -> str:
    """`quality.roc_auc` is `roc auc`; a criterion has a name of its own."""
    return CRITERIA.get(metric) or metric.partition(".")[2].replace("_", " ") or metric


def parity(metric: str) -> str:
    """What it would mean that all groups are alike in it."""
    return _PARITY.get(metric, "")


def estimate(found: Estimate, unit: str = "", scale: float = 1.0) -> str:
    """`0.701 (0.690 to 0.712)`."""
    between = words.interval(found.low, found.high, scale)
    return words.figure(found.figure, unit, scale) + (f" ({between})" if between else "")


def required(figure: Figure) -> str:
    """`≥ 0.66 (met)`; `≥ 0.66 (broken, excused)` where the release gate did not refuse the model for it."""
    told = ", ".join(words.limit_of(r.comparison, r.limit, r.unit, r.scale) for r in figure.required)
    if figure.verdict is None or not told:
        return told
    return f"{told} ({figure.verdict.status}{', excused' if figure.verdict.excused else ''})"


def difference(one: Compared) -> str:
    """`+0.012 (+0.003 to +0.027)`."""
    return f"{words.plus(one.difference)} ({words.plus(one.low)} to {words.plus(one.high)})"


def ratio(one: Compared) -> str:
    """`1.08 (0.98 to 1.19)`, a dash where it has no meaning."""
    if one.ratio is None:
        return words.NO_FIGURE
    between = words.interval(one.ratio_low, one.ratio_high)
    return words.significant(one.ratio) + (f" ({between})" if between else "")


def weakness(one: Weakness) -> str:
    """Where it is weak, in a sentence."""
    told = one.compared
    return (
        f"{metric_name(one.metric)} is {words.significant(told.figure)} where {one.column} is {told.group}, and "
        f"{words.significant(told.others)} elsewhere ({words.count(told.rows, 'row')})"
    )


def found(card: ModelCard) -> list[str]:
    """Slices that were found where it does worse, in a sentence each."""
    return [
        f"Found to do worse where {one.in_words} ({words.share(round(1000 * one.share), 1000)} of the rows)"
        for one in card.slices_found[:6]
    ]


def breaks(card: ModelCard) -> list[str]:
    """What would make it worse, as far as that can be told."""
    found = []
    relied = sorted(card.analysis.losses.items(), key=lambda item: -item[1].figure) if card.analysis else []
    needed = [name for name, loss in relied if loss.low > 0][:3]
    if needed:
        metric = metric_name(card.analysis.metric) if card.analysis else ""
        found.append(f"It leans on {', '.join(needed)}: were they missing or wrong, {metric} would suffer the most.")
    if card.drift:
        moved = ", ".join(f"{c.column} ({c.statistic} {words.significant(c.effect)})" for c in card.drift[:5])
        found.append(f"Its inputs have moved since its training: {moved}.")
    spread = f"{words.day(card.model.train_from)} to {words.day(card.model.valid_to)}"
    found.append(f"It knows {spread}: a season or an event that is not in this span is new to it.")
    few = [
        f"{one.columns[0]} {one.values[0]} with {one.columns[1]} {one.values[1]}"
        for one in (card.analysis.rarest if card.analysis else ())
        if one.rows < 30
    ]
    if few:
        found.append(f"Hardly seen in training: {'; '.join(few[:5])}.")
    return found


def unlike(card: ModelCard) -> list[str]:
    """Groups whose share of the training rows is not what it is where they are drawn from."""
    found = []
    for column, slices in (card.analysis.represented if card.analysis else {}).items():
        found += [
            f"{column} {one.value} makes up {100 * one.of_all:.1f}% of the rows, and {100 * one.population:.1f}% of "
            "those they stand for"
            for one in slices
            if one.population is not None and abs(one.of_all - one.population) > 0.2 * max(one.population, 0.01)
        ]
    return found


def trained(seconds: float) -> str:
    """How long it took: `42.1 s`, `3.2 min`, `17 us`."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 or not seconds else f"{seconds * 1e6:.3g} us"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def energy(joules: float) -> str:
    """`1.2 Wh`, `340 J`."""
    if joules < 3600:
        return f"{joules:.3g} J"
    return f"{joules / 3600:.3g} Wh" if joules < 3.6e6 else f"{joules / 3.6e6:.3g} kWh"


def size(count: int) -> str:
    """`812 KiB`."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{words.significant(value)} {unit}"
