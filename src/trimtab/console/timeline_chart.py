"""The lives of the releases: a row for each, a bar for each stage it was in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from trimtab.console.charts import Frame, x_axis
from trimtab.console.report_data import ReleaseStory
from trimtab.console.svg import drawing, element, text
from trimtab.console.words import day, short_day
from trimtab.records.model import Stage

_WIDTH = 1112.0
_ROW = 22.0
_LEFT, _RIGHT, _TOP = 152.0, 1010.0, 8.0
_ENDS: dict[Stage, str] = {"rejected": "refused", "rolled_back": "rolled back", "retired": "retired"}
MOST = 48


def timeline_chart(releases: Sequence[ReleaseStory], span: tuple[datetime, datetime]) -> str:
    """The newest `MOST` releases, oldest at the top."""
    shown = releases[-MOST:]
    bottom = _TOP + _ROW * len(shown) + 4
    frame = Frame.over(span, (0.0, 1.0), (_LEFT, _TOP, _RIGHT, bottom))
    parts = []
    for row, story in enumerate(shown):
        middle = _TOP + _ROW * row + _ROW / 2
        if row % 2 == 0:
            parts.append(element("rect", x=0, y=middle - _ROW / 2, width=_WIDTH, height=_ROW, class_="zebra"))
        parts += _row(frame, story, middle, span[1])
    parts += x_axis(frame, span, 12)
    return drawing(_WIDTH, bottom + 24, "Stages of each release over time", parts)


def _row(frame: Frame, story: ReleaseStory, y: float, end: datetime) -> list[str]:
    parts = [
        text(8, y + 4, story.release, "release-name"),
        text(_LEFT - 14, y + 4, story.model[:8], "release-model", "end"),
    ]
    for position, step in enumerate(story.steps):
        if step.to in _ENDS:
            continue
        until = story.steps[position + 1].at if position + 1 < len(story.steps) else end
        left, right = frame.x.at(step.at), frame.x.at(until)
        standby = step.to == "shadow" and step.source == "live"
        height = 12.0 if step.to == "live" else 4.0 if standby else 8.0
        stage = "standby" if standby else step.to
        word = "standing by in shadow" if standby else step.to
        title = f"{story.release} {word}, {day(step.at)} to {day(until)}"
        width = max(right - left, 2.0)
        parts.append(
            element(
                "rect", x=left, y=y - height / 2, width=width, height=height, rx=2, class_=f"stage {stage}", title=title
            )
        )
    return [*parts, *_end(frame, story, y)]


def _end(frame: Frame, story: ReleaseStory, y: float) -> list[str]:
    last = story.steps[-1]
    x = frame.x.at(last.at)
    if last.to == "live":
        return [text(frame.right + 10, y + 4, "live", "outcome live")]
    if last.to not in _ENDS:
        return [text(frame.right + 10, y + 4, last.to, "outcome")]
    title = f"{story.release} {_ENDS[last.to]} on {short_day(last.at)}: {last.why}"
    parts = []
    if last.to == "rejected":
        parts.append(element("path", d=f"M{x - 1:.1f} {y - 4:.1f}l8 8m0 -8l-8 8", class_="mark rejected", title=title))
    elif last.to == "rolled_back":
        loop = f"M{x + 10:.1f} {y + 4:.1f}a4.5 4.5 0 0 0 -4.5 -4.5h-5m3.5 -3.5l-3.5 3.5l3.5 3.5"
        parts.append(element("path", d=loop, class_="mark rolled_back", title=title))
    return [*parts, text(frame.right + 10, y + 4, _ENDS[last.to], f"outcome {last.to}")]
