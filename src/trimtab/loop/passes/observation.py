"""What the loop sees in one pass: everything that causes and plans are worked out from."""

from __future__ import annotations

from datetime import datetime

from trimtab.loop.releases import Releases
from trimtab.records.base import Record
from trimtab.records.facts import ColumnDrift, Compared
from trimtab.records.requirement import Verdict


class LastTraining(Record, kw_only=True):
    """The newest attempt to train: when, on how many known rows, from which code and hyper-parameters, and whether it
    began and came to no model; `outside` counts the newest in a row that somebody else ended (a kill, a full disk)."""

    at: datetime
    rows: int
    code: str
    params: str
    failed: bool = False
    outside: int = 0


class Progress(Record, kw_only=True):
    """How far a release has come in its stage: rows of evidence, and what they say against the live release: in the
    deciding metric, and in those that a single stormy day sways less (`likewise`: log loss, ROC AUC)."""

    rows: int
    compared: Compared | None = None
    likewise: tuple[Compared, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    beside: tuple[Verdict, ...] = ()
    """The live release's own verdicts on the same rows, where the two are judged beside each other."""

    @property
    def comparisons(self) -> tuple[Compared, ...]:
        """All of them, the deciding metric first."""
        return () if self.compared is None else (self.compared, *self.likewise)


class Observation(Record, kw_only=True):
    """The world at `now`. `turn` counts the passes at this moment, from 1. Nothing here is a decision. `offset` is what
    is added to the log odds of answers."""

    now: datetime
    turn: int
    releases: Releases
    offset: float = 0.0
    known_rows: int = 0
    known_to: datetime | None = None
    code: str = ""
    params: str = ""
    last_training: LastTraining | None = None
    data: tuple[Verdict, ...] = ()
    live: tuple[Verdict, ...] = ()
    drift: tuple[ColumnDrift, ...] = ()
    concept: str = ""
    challenger: Progress | None = None
    standby: Progress | None = None
    tainted: frozenset[str] = frozenset()
    """The models that learned from people who were forgotten since."""
    schema: str = ""
    """What changed in the columns of the datasets since the last training."""
    forgotten: str = ""
    """Whom the live model learned from and must not have; empty where there is nobody."""
    unanswered: bool = False
    """Whether no training was tried since the last of them was forgotten."""
