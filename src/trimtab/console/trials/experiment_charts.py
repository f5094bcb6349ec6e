"""The looks of an experiment against the boundaries at which each of them would have been sure."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.console.charts import padded, y_axis
from trimtab.console.plane import plane
from trimtab.console.svg import drawing, element, path, text
from trimtab.console.words import plus
from trimtab.records.studies import Round

_WIDTH, _HEIGHT = 420.0, 236.0
_BOX = (56.0, 14.0, 340.0, 194.0)
_ENDLESS = 1e300


def looks_chart(rounds: Sequence[Round], margin: float, *, more_is_better: bool, scale: float, unit: str) -> str:
    """Each look's difference (a dot) over how many periods it saw. Within the band about the declared margin nothing is
    sure: the band is as wide as the look's own interval, so it narrows as rows come in and widens for looks that may
    make little error. Empty where no look had an interval."""
    known = [one for one in rounds if abs(one.low) < _ENDLESS and abs(one.high) < _ENDLESS]
    if not known:
        return ""
    halves = [(one.high - one.low) / 2 / scale for one in known]
    level = margin / scale
    values = [one.difference / scale for one in known]
    ends = [*values, 0.0, *(level + half for half in halves), *(level - half for half in halves)]
    first, last = known[0].folds, max(known[-1].folds, known[0].folds + 1)
    frame = plane((first - 0.4, last + 0.4), padded(min(ends), max(ends)), _BOX)
    upper = [(frame.x(one.folds), frame.y(level + half)) for one, half in zip(known, halves, strict=True)]
    lower = [(frame.x(one.folds), frame.y(level - half)) for one, half in zip(known, halves, strict=True)]
    if len(known) == 1:  # one look alone still has a width
        upper, lower = ([(x - 14, y), (x + 14, y)] for ((x, y),) in (upper, lower))
    parts = [*y_axis(frame, 5, unit)]
    parts.append(element("path", d=path([*upper, *reversed(lower)], closed=True), class_="unsure"))
    parts += [element("path", d=path(edge), class_="boundary") for edge in (upper, lower)]
    parts.append(element("path", d=f"M{frame.left:.0f} {frame.y(0.0):.1f}H{frame.right:.0f}", class_="axis"))
    parts.append(element("path", d=f"M{frame.left:.0f} {frame.y(level):.1f}H{frame.right:.0f}", class_="limit"))
    told_at = ((frame.y(level), "margin", "limit-name"), (frame.y(0.0), "no effect", "tick"))
    near = abs(told_at[0][0] - told_at[1][0]) < 13
    for y, said, class_ in told_at[: 1 if near else 2]:
        parts.append(text(frame.right + 6, y + 4, said, class_))
    above, below = ("supported", "refuted") if more_is_better else ("refuted", "supported")
    parts.append(text(frame.right + 6, frame.top + 10, above, f"side {above}"))
    parts.append(text(frame.right + 6, frame.bottom - 4, below, f"side {below}"))
    spots = [(frame.x(one.folds), frame.y(value)) for one, value in zip(known, values, strict=True)]
    parts.append(element("path", d=path(spots), class_="line"))
    for one, (x, y), value in zip(known, spots, values, strict=True):
        told = (
            f"look {one.folds}: {plus(value)} {unit}, {plus(one.low / scale)} to {plus(one.high / scale)}, {one.answer}"
        )
        parts.append(element("circle", cx=x, cy=y, r=4.2, class_=f"look {one.answer}", title=told))
        parts.append(text(x, frame.bottom + 17, str(one.folds), "tick", "middle"))
    parts.append(text((frame.left + frame.right) / 2, _HEIGHT - 8, "periods seen", "", "middle"))
    label = f"The difference at {len(known)} looks, against the boundaries at which each would have been sure"
    return drawing(_WIDTH, _HEIGHT, label, parts)
