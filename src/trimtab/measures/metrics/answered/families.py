"""Which figures belong to which task, and their estimates."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.measures.arrays import Floats
from trimtab.measures.metrics.answered import detection, recognition, segmentation, transcription
from trimtab.measures.metrics.estimates import estimate_of
from trimtab.measures.metrics.statistic import Statistic, Undefined, mean
from trimtab.records.metric import Task
from trimtab.records.requirement import Estimate, Value

BY_TASK: dict[Task, tuple[str, ...]] = {
    "detection": detection.METRICS,
    "segmentation": segmentation.METRICS,
    "recognition": recognition.METRICS,
    "transcription": transcription.METRICS,
}
WORTH = "value.per_1000"
_LOWER = frozenset(
    f"quality.{name}" for name in ("false_accept", "equal_error_rate", "word_error_rate", "character_error_rate")
)


class Judged(Protocol):
    """Answers that were compared with what is true: what was counted of each of `rows`."""

    @property
    def rows(self) -> int: ...

    def statistic(self, metric: str, kept: Any, part: str | None = None) -> Statistic:
        """The metric over the rows that are `kept`. Raises Undefined where there is no figure."""
        ...


def answered_metrics(task: Task) -> tuple[str, ...]:
    """The metrics of a task whose answers are no scores, `value.per_1000` last where an answer has a worth."""
    return (*BY_TASK[task], *(() if task == "segmentation" else (WORTH,)))


def better_when_answered(metric: str) -> Literal["higher", "lower"]:
    """The side on which a metric of these tasks is better."""
    return "lower" if metric in _LOWER else "higher"


def parts_of(judged: Judged) -> tuple[str, ...]:
    """The classes of which figures can be told one by one; none where the task has no parts."""
    found = getattr(judged, "parts", None)
    return found() if found is not None else ()


def statistic_of_answers(
    metric: str, judged: Judged, value: Value | None, kept: Any = None, part: str | None = None
) -> Statistic:
    """The metric as a statistic of the rows that are `kept` (None: all). Raises Undefined where it does not exist."""
    chosen = np.ones(judged.rows, dtype=bool) if kept is None else kept
    if not np.arange(judged.rows)[chosen].size:
        raise Undefined("there are no labelled rows")
    if metric == WORTH:
        return mean(_worth(judged, value)[chosen], scale=1000.0)
    return judged.statistic(metric, chosen, part)


def estimate_of_answers(
    metric: str,
    judged: Judged,
    *,
    value: Value | None = None,
    blocks: NDArray[Any] | None = None,
    kept: NDArray[np.bool_] | None = None,
    part: str | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> Estimate:
    """The figure with its 95% interval, over the rows that are `kept` and of one class where `part` names it; `blocks`
    [n] and `bootstrap` as for scores. A share has Wilson's interval even so: rows drawn again from 30 that are all
    right are all right, which proves less than it seems."""
    chosen = np.ones(judged.rows, dtype=bool) if kept is None else kept
    days = None if blocks is None else np.asarray(blocks)[chosen]

    def made() -> Statistic:
        return statistic_of_answers(metric, judged, value, chosen, part)

    return estimate_of(
        made,
        int(chosen.sum()),
        blocks=days,
        bootstrap=bootstrap,
        seed=seed,
        rarer=float(chosen.sum()),
        shares_by_wilson=True,
    )


def _worth(judged: Judged, value: Value | None) -> Floats:
    worth = getattr(judged, "worth", None)
    if worth is None:
        raise PermanentError("a mask has no worth of its own: it is neither right nor wrong as a whole")
    if value is None:
        raise Undefined("no [value] is declared")
    return np.asarray(worth(value))
