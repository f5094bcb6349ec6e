"""What callers tell a server and what it tells them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from numpy.typing import NDArray  # for types only: a caller with plain rows does not pay for it


class Explanation(NamedTuple):
    """What each feature contributed to an answer, in `unit`, beside `base_value`; for several classes both are
    by class. `method` is `tree_shap` or `occlusion`."""

    method: str
    unit: str
    base_value: Any
    contributions: dict[str, Any]


class Prediction(NamedTuple):
    """One row's answer. `score` is a list for several classes, and None for a model without one; `label` is None for
    regression. `explanation` is None unless it was asked for, and where there was no time for it; `outputs` are those
    that a model of tensors has beside score and label, by name."""

    id: str
    score: float | list[float] | None
    label: str | int | None
    release: str
    model: str
    explanation: Explanation | None = None
    outputs: dict[str, Any] | None = None


class Inference(NamedTuple):
    """What a model gave for tensors: its outputs by name (texts and bytes as objects), and for each row its prediction
    id and the release that answered it. `model` is the version that answered the first, `parameters` all that the
    server said beside its outputs."""

    outputs: dict[str, NDArray[Any]]
    ids: list[str]
    releases: list[str]
    model: str
    parameters: dict[str, Any]


class Truth(NamedTuple):
    """What became of a prediction; `time` None: now."""

    id: str
    truth: float | str | bool
    time: datetime | None = None


class AnswerError(PermanentError):
    """The server refused the request: `status` is its HTTP status."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
