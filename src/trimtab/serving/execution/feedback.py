"""Truth that comes back: `POST /feedback`."""

from __future__ import annotations

import math
from array import array
from typing import Any, NamedTuple

import msgspec

from trimtab.records.model import Signature
from trimtab.serving.execution.questions import brief, check_id, read_moment, refuse_many
from trimtab.serving.refusals import RefusalError
from trimtab.serving.telemetry.segments import FEEDBACK, Truths, pack

_KEYS = frozenset(("id", "truth", "time"))


class Feedback(NamedTuple):
    """One request: ids, their truths (class index or number where it can be told) and moments (microseconds)."""

    ids: list[str]
    truths: list[float | str]
    at: list[int]
    single: bool


def read_feedback(request: Any, signature: Signature | None, most: int, now: float, ahead: float) -> Feedback:
    """Understands `{"id", "truth", "time"?}`, `{"items": [...]}` or a list. All or nothing: raises RefusalError (422)
    naming the first item that is wrong, and then none is taken."""
    single = False
    if isinstance(request, dict) and request.keys() == {"items"}:
        request = request["items"]
        if not isinstance(request, list):
            raise RefusalError(422, f"`items`: expected a list, got {brief(request)}")
    elif isinstance(request, dict):
        single, request = True, [request]
    if not isinstance(request, list):
        raise RefusalError(422, f"expected an object with `id` and `truth`, or a list of them, got {brief(request)}")
    refuse_many(len(request), most)
    ids, truths, at = [], [], []
    arrival = int(now * 1e6)
    for place, item in enumerate(request):
        where = "" if single else f"items[{place}]."
        if not isinstance(item, dict) or not item.keys() <= _KEYS:
            unknown = next((key for key in item if key not in _KEYS), "") if isinstance(item, dict) else ""
            what = f"unknown key {unknown!r}" if unknown else f"got {brief(item)}"
            raise RefusalError(422, f"{where.rstrip('.') or 'feedback'}: expected `id` and `truth`, {what}")
        ids.append(check_id(item.get("id"), f"{where}id"))
        truths.append(_truth(item, where, signature))
        time = item.get("time")
        at.append(arrival if time is None else read_moment(time, f"{where}time", now, ahead))
    return Feedback(ids, truths, at, single)


def pack_feedback(feedback: Feedback, orphans: list[int]) -> bytes:
    """The frame that keeps it."""
    record = Truths(ids=feedback.ids, truths=feedback.truths, at=array("q", feedback.at).tobytes(), orphans=orphans)
    return pack(FEEDBACK, msgspec.msgpack.encode(record))


def class_index(truth: object, signature: Signature) -> int | None:
    """The class that a truth names: its name, or for names that are numbers or booleans the value; for two classes also
    true, false, 1 and 0. None when it names none."""
    classes = signature.classes
    if isinstance(truth, bool):
        names = [str(truth), str(truth).lower(), str(int(truth))]
    elif isinstance(truth, float) and truth.is_integer():
        names = [str(int(truth)), str(truth)]
    else:
        names = [str(truth)]
    found = next((classes.index(name) for name in names if name in classes), None)
    if found is None and signature.task == "binary_classification" and truth in (0, 1):
        return int(truth == 1)
    return found


def _truth(item: dict[str, Any], where: str, signature: Signature | None) -> float | str:
    truth = item.get("truth")
    if truth is None or not isinstance(truth, bool | int | float | str):
        raise RefusalError(422, f"{where}truth: expected a class or a number, got {brief(truth)}")
    if signature is None or signature.task == "tensors":  # nothing here tells what a truth may be
        return truth if isinstance(truth, str) else float(truth)
    if signature.task == "regression":
        if isinstance(truth, str | bool) or not math.isfinite(truth):
            raise RefusalError(422, f"{where}truth: expected a number, got {brief(truth)}")
        return float(truth)
    found = class_index(truth, signature)
    if found is None:
        expected = ", ".join(signature.classes) or "0 or 1"
        raise RefusalError(422, f"{where}truth: {brief(truth)} is none of the classes", hint=f"classes: {expected}")
    return float(found)
