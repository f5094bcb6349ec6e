"""What a user declares about labels: the `[labels]` table, and the requirements this stage can measure."""

from __future__ import annotations

from typing import Literal

import msgspec

from trimtab.records.base import Record
from trimtab.records.metric import Metric

Kind = Literal["class", "multi_label", "box", "transcript", "regression"]
Policy = Literal["majority", "trusted", "adjudicate", "weighted"]
Measure = Literal[
    "krippendorff_alpha",
    "krippendorff_alpha_ordinal",
    "cohen_kappa",
    "fleiss_kappa",
    "box_f1",
    "box_overlap",
    "word_agreement",
]
MEASURES: dict[Kind, tuple[Measure, ...]] = {
    "class": ("krippendorff_alpha", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha_ordinal"),
    "multi_label": ("krippendorff_alpha",),
    "box": ("box_f1", "box_overlap"),
    "transcript": ("word_agreement",),
    "regression": ("krippendorff_alpha", "krippendorff_alpha_ordinal"),
}
"""The measures of agreement that fit each kind of label; the first is the default."""
SIGNALS = ("uncertainty", "disagreement", "drift", "diversity")
"""What makes an item worth a label."""


class LabelsSpec(Record, kw_only=True):
    """`[labels]`: what annotators say of the rows of dataset `data`, and what becomes of it in its column `column`.

    `classes` are those of class, multi_label and box (in order, where `krippendorff_alpha_ordinal` measures);
    `low`..`high` bound a regression, and numbers within `tolerance` say the same. An item's label is resolved once
    `annotators` have said theirs, by `policy`; `trusted` are the annotators whose word decides. `tool` keeps the tasks:
    at `url` in the project of that title, with the token in the environment variable `token_env`, or in `files`.
    `show` are the columns that annotators see, as a `media`. Costs are in the declared currency. `mix` weighs the
    signals by which the next items are chosen (empty: all alike).
    """

    kind: Kind
    data: str
    column: str
    classes: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    tolerance: float = 0.0
    annotators: int = 2
    policy: Policy = "majority"
    trusted: tuple[str, ...] = ()
    measure: Measure = "krippendorff_alpha"
    tool: str = "files"
    files: str = "labels/*.ndjson"
    url: str = ""
    project: str = ""
    token_env: str = "LABEL_TOOL_TOKEN"
    show: tuple[str, ...] = ()
    media: Literal["table", "text", "image", "audio"] = "table"
    budget: float | None = None
    cost_per_label: float = 0.0
    seconds_per_label: float | None = None
    mix: dict[str, float] = msgspec.field(default_factory=dict)
    line: int = 0


METRICS: tuple[Metric, ...] = (
    Metric(name="labels.agreement", unit="ratio", better="higher", places=("data", "release"),
           meaning="how far annotators agree beyond chance, as their labels stand; what was adjudicated is settled"),
    Metric(name="labels.first_agreement", unit="ratio", better="higher", places=("data", "release"),
           meaning="the same of what each annotator said first, before anything was revised or adjudicated"),
    Metric(name="labels.coverage", unit="ratio", better="higher", places=("data", "release"),
           meaning="share of the rows collected so far whose label is resolved"),
    Metric(name="labels.error_rate", unit="ratio", better="lower", places=("data", "release"),
           meaning="share of labels that are likely wrong, by confident learning from models that had not seen them"),
)  # fmt: skip
SAMPLED = ("labels.agreement", "labels.first_agreement", "labels.error_rate")
