"""Releases whose answers are no scores: judged by labelled rows, compared on the same ones, and watched as more of them
become known. What is true of an image or a sound is told by the labelled dataset; callers rarely know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import numpy as np
import polars as pl
from msgspec import UNSET
from numpy.typing import NDArray

from trimtab.declaration.system import System
from trimtab.inference.media_rows import decode, load_tensor_model
from trimtab.loop.passes.evidence import USUAL, days, deciding_metric
from trimtab.loop.past.history import MOMENT
from trimtab.loop.ports import Datasets
from trimtab.measures.comparison.paired import Paired, paired_statistics
from trimtab.measures.judge import judge, judge_slices
from trimtab.measures.metrics.answered.families import (
    WORTH,
    Judged,
    answered_metrics,
    estimate_of_answers,
    parts_of,
    statistic_of_answers,
)
from trimtab.measures.metrics.statistic import Statistic
from trimtab.records.blobs import Blobs
from trimtab.records.facts import ModelTrained
from trimtab.records.metric import PART, Place
from trimtab.records.model import ModelBundle, Signature
from trimtab.records.requirement import Estimate, Requirement, Verdict
from trimtab.records.tensors import MediaModel
from trimtab.training.media.answered import judge_model, judging
from trimtab.training.media.truths import read_truths

_Measured = Callable[..., Estimate]


@dataclass
class AnsweredRows:
    """Has models answer labelled rows and judges what they say. What it keeps between passes can be judged again."""

    system: System
    blobs: Blobs
    datasets: Datasets
    _kept: tuple[tuple[str, str], Judged] | None = field(default=None)

    def judged(self, bundle: ModelBundle, rows: pl.DataFrame) -> Judged:
        """The answers of a model to labelled rows [n], compared with what is true."""
        system, media = self.system, self.system.model.media
        assert isinstance(media, MediaModel)
        spec = system.labelled
        filled = self.datasets.contents(rows)
        plain = judging(bundle.signature, system.task)
        hook = bundle if system.task != "recognition" else _without_hook(bundle)
        model = load_tensor_model(self.blobs, _reading(hook, plain))
        truths = read_truths(filled.get_column(str(spec.label)), system.task, media.classes)
        decoded = decode(filled, media.inputs, spec.key)
        return judge_model(model, bundle.signature, system.task, decoded, truths)

    def live(self, model: ModelTrained, now: datetime) -> tuple[Verdict, ...]:
        """Verdicts on the live model's answers to rows that became known since it was trained, each within its
        requirement's window."""
        wanted = [one for one in self._wanted() if "live" in one.places]
        if not wanted:
            return ()
        window = self.system.policy.window + self.system.labelled.label_delay
        spans = [window if one.window is None else one.window for one in wanted]
        rows = self._since(model, now, max(spans))
        if not rows.height:
            nothing = Estimate(figure=None, reason="no labelled row has become known since it was trained")
            return tuple(judge(one, nothing, place="live") for one in wanted)
        state = (model.identity.id, self.datasets.version(now) + f":{rows.height}")
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self.judged(model.bundle, rows)
        found = self._kept[1]
        verdicts = []
        for one, span in zip(wanted, spans, strict=True):
            recent = (rows[MOMENT] >= now - timedelta(seconds=span)).to_numpy()
            verdicts.append(self._verdict(one, found, rows, "live", recent))
        return tuple(verdicts)

    def verdicts(self, judged: Judged, rows: pl.DataFrame, place: Place) -> tuple[Verdict, ...]:
        """Verdicts on every requirement on answers, of judged rows."""
        everything = np.ones(judged.rows, dtype=bool)
        return tuple(self._verdict(one, judged, rows, place, everything) for one in self._wanted())

    def compared(
        self, champion: Judged, challenger: Judged, moments: NDArray[np.int64], metrics: Sequence[str] = ()
    ) -> list[tuple[str, Paired]]:
        """Challenger against champion on the same rows, in `metrics` (default: the deciding one and the task's usual
        one); days are the blocks."""
        moved = days(moments)

        def compared(metric: str) -> Paired:
            def made(judged: Judged) -> Statistic:
                return statistic_of_answers(metric, judged, self.system.value)

            return paired_statistics(metric, made, (champion, challenger), champion.rows, blocks=moved)

        wanted = metrics or dict.fromkeys((deciding_metric(self.system), USUAL[self.system.task]))
        return [(metric, compared(metric)) for metric in wanted]

    def _wanted(self) -> list[Requirement]:
        known = answered_metrics(self.system.task)
        return [
            one
            for one in self.system.requirements
            if one.metric in known
            and "release" in one.places
            and (one.metric != WORTH or self.system.value is not None)
        ]

    def _since(self, model: ModelTrained, now: datetime, span: float) -> pl.DataFrame:
        """Labelled rows of the last `span` seconds that the model has not learned from."""
        rows = self.datasets.labelled(now)
        if not rows.height:
            return rows
        label = str(self.system.labelled.label)
        new = (pl.col(MOMENT) > model.valid_to) & (pl.col(MOMENT) >= now - timedelta(seconds=span))
        return rows.filter(new & pl.col(label).is_not_null())

    def _verdict(
        self, req: Requirement, judged: Judged, rows: pl.DataFrame, place: Place, among: NDArray[np.bool_]
    ) -> Verdict:
        blocks = days(rows[MOMENT].to_physical().to_numpy())

        def measured(kept: NDArray[np.bool_], part: str | None = None) -> Estimate:
            return estimate_of_answers(
                req.metric, judged, value=self.system.value, blocks=blocks, kept=kept & among, part=part
            )

        if req.by is None:
            return judge(req, measured(among), place=place)
        return judge_slices(req, dict(_slices(req.by, judged, rows, measured)), place=place)


def _slices(by: str, judged: Judged, rows: pl.DataFrame, measured: _Measured) -> Iterator[tuple[str, Estimate]]:
    if by == PART and parts_of(judged):
        everything = np.ones(judged.rows, dtype=bool)
        for part in parts_of(judged):
            yield part, measured(everything, part)
        return
    if by not in rows.columns:
        return
    values = rows.get_column(by).cast(pl.String).fill_null("null").to_numpy()
    for value in sorted(set(values.tolist())):
        yield value, measured(values == value)


def _reading(bundle: ModelBundle, signature: Signature) -> ModelBundle:
    return msgspec.structs.replace(bundle, signature=signature)


def _without_hook(bundle: ModelBundle) -> ModelBundle:
    """Recognition is judged by its similarities, whatever the hook makes of them for callers."""
    return msgspec.structs.replace(bundle, postprocess_code=UNSET)
