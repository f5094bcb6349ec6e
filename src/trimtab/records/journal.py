"""One line of the ledger: its JSON form, its chained digest, and what of it two runs of one history must share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic

import msgspec
from blake3 import blake3
from typing_extensions import TypeVar

from trimtab.errors import PermanentError
from trimtab.records.base import Record, canonical_json
from trimtab.records.fact import Fact
from trimtab.records.facts import AnyFact, Compared, ModelTrained, ReleaseMoved, TrainingFailed, VerdictsGiven
from trimtab.records.requirement import Estimate, Verdict

F = TypeVar("F", bound=Fact, default=AnyFact)

GENESIS = "0" * 64
"""What the first entry is chained to."""

_CLOCKED = ("serving.", "resources.")
"""Metrics whose figures depend on the machine's speed, and so differ between two runs of one history."""


class Entry(Record, Generic[F], kw_only=True):
    """A fact as it stands in the ledger.

    `seq` counts from 1 without a gap; `at` is UTC; `kind` is the fact's tag; `measured` holds what differs between two
    runs of the same history; `chain` is the hex blake3 of this entry and of the chain before it.
    """

    seq: int
    key: str
    at: datetime
    kind: str
    fact: F
    measured: dict[str, float]
    chain: str


class Draft(Record, kw_only=True):
    """A fact on its way into the ledger."""

    key: str
    fact: AnyFact
    at: datetime
    measured: dict[str, float] = msgspec.field(default_factory=dict)


class Line(msgspec.Struct, frozen=True):
    """The stored form of an entry, all text but `seq`."""

    seq: int
    key: str
    at: str
    kind: str
    fact: str
    measured: str
    chain: str


_read_fact = msgspec.json.Decoder(AnyFact)
_read_measured = msgspec.json.Decoder(dict[str, float])


def kind_of(fact: Fact | type[Fact]) -> str:
    """The tag of a fact or of a class of facts: its name in snake case."""
    return str(fact.__struct_config__.tag)


def write(draft: Draft) -> tuple[str, str, str, str, str]:
    """(key, at, kind, fact, measured) as stored. Raises PermanentError when what is read back would not be the same."""
    key, fact = draft.key, draft.fact
    if not key or key != key.strip() or not key.isprintable():
        raise PermanentError(f"{key!r} cannot be a key of the ledger", hint="use printable text without outer spaces")
    if draft.at.tzinfo is None:
        raise PermanentError(f"`{key}` is dated {draft.at} without a time zone", hint="pass a UTC datetime")
    at = draft.at.astimezone(UTC).isoformat(timespec="microseconds")
    for name in _moments(type(fact)):
        if getattr(fact, name).tzinfo is None:
            raise PermanentError(f"`{key}`: {name} has no time zone", hint="facts hold UTC datetimes")
    return key, at, kind_of(fact), _encode_fact(key, fact), _encode_measured(key, draft.measured)


def read(line: Line) -> Entry[Any]:
    """The entry that `line` holds. Raises PermanentError when it cannot be read."""
    try:
        return Entry(
            seq=line.seq,
            key=line.key,
            at=datetime.fromisoformat(line.at),
            kind=line.kind,
            fact=_read_fact.decode(line.fact),
            measured=_read_measured.decode(line.measured) if line.measured else {},
            chain=line.chain,
        )
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise PermanentError(
            f"entry {line.seq} of the ledger (`{line.key}`) cannot be read: {error}",
            hint="it was written by a newer Trimtab, or changed from outside: upgrade, or restore a backup",
        ) from error


def same_fact(one: str, other: str) -> bool:
    """Whether two stored facts say the same: equal text, or equal once read (a field with a default came later)."""
    return one == other or bool(_read_fact.decode(one) == _read_fact.decode(other))


def chained(previous: str, *, seq: int, key: str, at: str, kind: str, fact: str, measured: str) -> str:
    """Hex blake3 of the chain so far and of one entry's stored form, each part led by its length in bytes."""
    digest = blake3()
    for part in (previous, str(seq), key, at, kind, fact, measured):
        raw = part.encode()
        digest.update(b"%d:" % len(raw) + raw)
    return digest.hexdigest()


def comparable(entry: Entry[Any]) -> tuple[str, str, datetime, bytes]:
    """What must be equal between an undisturbed run and one that was killed and resumed: key, kind, moment and fact.

    Seconds and bytes never repeat: in verdicts and estimates of `serving.*` and `resources.*` the figure, its interval,
    its rows and its reason are blanked; the status stays. So is the log of a failed training, where the user's code may
    have printed a time. `seq`, `measured` and `chain` are left out.
    """
    return entry.key, entry.kind, entry.at, canonical_json(_blanked(entry.fact))


def difference(standing: Fact, refused: Fact) -> str:
    """Where two facts first differ, in a few words."""
    if type(standing) is not type(refused):
        return f"{kind_of(standing)}, not {kind_of(refused)}"
    for name in standing.__struct_fields__:
        one, other = getattr(standing, name), getattr(refused, name)
        if one != other:
            return f"{kind_of(standing)} with {name} = {_short(one)}, not {_short(other)}"
    return f"another {kind_of(standing)}"


@cache
def _moments(kind: type[Fact]) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind) if field.type is datetime)


def _encode_fact(key: str, fact: AnyFact) -> str:
    try:
        text = canonical_json(fact)
        back = _read_fact.decode(text)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        for path in _not_finite(fact, kind_of(fact)):
            raise _infinite(key, path) from error
        raise PermanentError(f"the fact for `{key}` cannot be written: {error}") from error
    if back != fact:
        for path in _not_finite(fact, kind_of(fact)):
            raise _infinite(key, path)
        if canonical_json(back) != text:  # tuples that come back as lists are the same JSON, and pass
            raise PermanentError(f"the fact for `{key}` would not read back as it is: {difference(fact, back)}")
    return text.decode()


def _encode_measured(key: str, measured: Mapping[str, float]) -> str:
    for name, figure in measured.items():
        if not math.isfinite(figure):
            raise _infinite(key, f"measured {name}")
    return canonical_json(measured).decode() if measured else ""


def _infinite(key: str, path: str) -> PermanentError:
    return PermanentError(
        f"the fact for `{key}` cannot be written: {path} is not a finite number",
        hint="an Estimate or Verdict without a figure holds None and says the reason",
    )


def _not_finite(value: object, path: str) -> Iterator[str]:
    """Paths of the floats in `value` that are NaN or infinite: JSON has no form for them."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _not_finite(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _not_finite(item, f"{path}.{name}")
    elif isinstance(value, (list, tuple, set, frozenset)):
        for position, item in enumerate(value):
            yield from _not_finite(item, f"{path}[{position}]")


def _blanked(fact: AnyFact) -> AnyFact:
    replace = msgspec.structs.replace
    if isinstance(fact, VerdictsGiven):
        return replace(fact, verdicts=tuple(map(_blank_verdict, fact.verdicts)))
    if isinstance(fact, ReleaseMoved):
        return replace(fact, evidence=tuple(map(_blank_verdict, fact.evidence)))
    if isinstance(fact, ModelTrained):
        return replace(
            fact,
            metrics=_blank_estimates(fact.metrics),
            baseline=_blank_estimates(fact.baseline),
            slices=_blank_estimates(fact.slices),
        )
    if isinstance(fact, TrainingFailed):
        return replace(fact, log="")
    if isinstance(fact, Compared) and fact.metric.startswith(_CLOCKED):
        return replace(fact, difference=0.0, low=0.0, high=0.0)
    return fact


def _blank_verdict(verdict: Verdict) -> Verdict:
    if not verdict.metric.startswith(_CLOCKED):
        return verdict
    return msgspec.structs.replace(verdict, figure=None, low=None, high=None, rows=0, reason="")


def _blank_estimates(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    blank = Estimate(figure=None)
    return {name: blank if name.startswith(_CLOCKED) else estimate for name, estimate in estimates.items()}


def _short(value: object, limit: int = 60) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
