"""What was found of a model on the rows that judged it, kept so that it outlives the rows."""

from __future__ import annotations

import blake3
import msgspec

from trimtab.data.privacy.bias import Combination, Slice
from trimtab.errors import PermanentError
from trimtab.measures.comparison.groups import Compared
from trimtab.measures.comparison.reliance import Loss, Point
from trimtab.records.base import Record, canonical_json
from trimtab.records.blobs import Blobs

_FORM = 1


class Contribution(Record, kw_only=True):
    """The mean size of what a feature contributed to the answers, over all outputs, with its 95% interval."""

    figure: float
    low: float
    high: float


class Curve(Record, kw_only=True):
    """How the mean answer moves with one feature: `output` is the class of which it is (empty: there is one answer a
    row), `words` name the points of a category."""

    feature: str
    output: str
    points: tuple[Point, ...]
    words: tuple[str, ...] = ()


class Bin(Record, kw_only=True):
    """Rows with like scores: their mean score, the share of them that was positive with its 95% interval."""

    score: float
    share: float
    low: float
    high: float
    rows: int


class ModelAnalysis(Record, kw_only=True):
    """What a model is like on its `rows` validation rows, of which `asked` were used for reliance (evenly spread).

    `same`: the figures of its training came out again, so these are the rows it was judged on. `contributions` are in
    `unit`, by `method`; `losses` in `metric`, above zero worse; features that no time was left for are missing from
    either. `groups` maps a column to figures by criterion; `withheld` names what is personal and therefore left out.
    `represented` says of the training rows how many each group has, with its share of each class, and `rarest` which
    groups meet in few of them. `reliability` is of the probability that was promised (binary tasks). `left_out` says in
    words what is missing.
    """

    form: int = _FORM
    model: str
    rows: int
    asked: int
    same: bool
    method: str
    unit: str
    metric: str
    contributions: dict[str, Contribution]
    losses: dict[str, Loss]
    curves: tuple[Curve, ...]
    groups: dict[str, dict[str, tuple[Compared, ...]]]
    reliability: tuple[Bin, ...] = ()
    represented: dict[str, tuple[Slice, ...]] = {}  # noqa: RUF012 - msgspec copies an empty default
    rarest: tuple[Combination, ...] = ()
    withheld: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def analysis_ref(model: str, groups: tuple[str, ...]) -> str:
    """Under which name the analysis of a model is found; other groups make another one."""
    return f"analysis-{model}-{blake3.blake3(canonical_json(groups)).hexdigest()[:8]}"


def keep(blobs: Blobs, name: str, found: ModelAnalysis) -> None:
    """Keep an analysis under its name."""
    blobs.set_ref(name, blobs.put(msgspec.json.encode(found)))


def kept(blobs: Blobs, name: str) -> ModelAnalysis | None:
    """The analysis that is kept under a name; None where there is none that this version can read."""
    digest = blobs.get_ref(name)
    if digest is None:
        return None
    try:
        found = msgspec.json.decode(blobs.get(digest), type=ModelAnalysis)
    except (msgspec.MsgspecError, PermanentError):
        return None
    return found if found.form == _FORM else None
