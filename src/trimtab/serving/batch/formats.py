"""The formats that a batch may come and be answered in."""

from __future__ import annotations

from typing import Literal

from trimtab.serving.refusals import RefusalError

Format = Literal["ndjson", "csv", "arrow", "parquet"]
CONTENT_TYPES: dict[Format, str] = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_NAMES: dict[str, Format] = {
    **{kind: form for form, kind in CONTENT_TYPES.items()},
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json-lines": "ndjson",
    "application/parquet": "parquet",
    "application/x-parquet": "parquet",
}
_TAKEN = ", ".join(CONTENT_TYPES.values())


def sent_format(content_type: str) -> Format:
    """The format of a body. Raises RefusalError (415)."""
    name = content_type.partition(";")[0].strip().lower()
    found = _NAMES.get(name)
    if found is None:
        told = f"content-type {name[:100]!r} is not taken" if name else "the batch has no content-type"
        raise RefusalError(415, told, hint=f"one of {_TAKEN}")
    return found


def wanted_format(accept: str, sent: Format) -> Format:
    """The format of the answer: the first that the caller accepts and we have, by its weights; without a choice that of
    the body. Raises RefusalError (406)."""
    choices: list[tuple[float, int, Format]] = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = [piece.strip().lower() for piece in part.split(";")]
        if not name:
            continue
        weight = next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        form = sent if name in ("*/*", "text/*" if sent == "csv" else "application/*") else _NAMES.get(name)
        if form is not None and weight > 0:
            choices.append((-weight, place, form))
    if choices:
        return min(choices)[2]
    if accept.strip():
        raise RefusalError(406, f"none of the accepted types can be given: {accept[:200]!r}", hint=f"one of {_TAKEN}")
    return sent


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
