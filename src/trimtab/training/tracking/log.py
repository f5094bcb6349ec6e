"""What the code of `train` calls to log metrics and keep files: `trimtab.log_metrics` and the like.

Outside of a training they do nothing, so that the same code runs in a notebook.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import PermanentError
from trimtab.training.tracking.recorder import Recorder


class _Process:
    """What this process works on. A worker does one training in its life, so that this is as true of it as its number
    is; the user's code, and the libraries that call it back, need no handle that is passed through them."""

    recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Let what is logged in this process go to a recorder, or nowhere."""
    _Process.recorder = recorder


def log_metric(name: str, value: Any, step: int | None = None) -> None:
    """One number of a metric, at a step (default: the one after its last). Raises PermanentError for what is no number;
    NaN and infinity are numbers."""
    recorder = _Process.recorder
    if recorder is not None:
        recorder.metrics({name: value}, step)


def log_metrics(values: Mapping[str, Any], step: int | None = None) -> None:
    """Several metrics at one step: `log_metrics({"loss": 0.31, "auc": 0.78}, step=epoch)`."""
    recorder = _Process.recorder
    if recorder is not None:
        recorder.metrics(values, step)


def flush_logged() -> None:
    """Put down what was logged so far, so that a kill cannot take it: call it before you write a checkpoint."""
    recorder = _Process.recorder
    if recorder is not None:
        recorder.flush()


def log_artifact(content: str | Path | bytes, name: str | None = None) -> None:
    """Keep a file as it is now, or bytes, under a name (default: the file's own), such as `plots/roc.png`."""
    recorder = _Process.recorder
    if recorder is None:
        return
    if isinstance(content, bytes):
        if name is None:
            raise PermanentError("bytes have no name of their own", hint='log_artifact(content, "name.bin")')
        recorder.artifact(name, content)
        return
    path = Path(content)
    recorder.artifact(path.name if name is None else name, path)


def log_figure(figure: Any, name: str) -> None:
    """Keep a Matplotlib figure, or whatever has `savefig(file, format=)`, in the format that its name ends in."""
    recorder = _Process.recorder
    if recorder is None:
        return
    kind = Path(name).suffix.removeprefix(".")
    if not hasattr(figure, "savefig") or not kind:
        raise PermanentError(f"{name!r}: not a figure, or a name without a format", hint='log_figure(fig, "roc.png")')
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    recorder.artifact(name, out.getvalue())


def log_table(table: Any, name: str) -> None:
    """Keep a table: what has `write_csv` (Polars) or `to_csv` (pandas), or lists and dicts, as CSV or JSON by the
    ending of its name."""
    recorder = _Process.recorder
    if recorder is None:
        return
    if name.endswith(".json"):
        rows = table.to_dicts() if hasattr(table, "to_dicts") else table
        rows = rows.to_dict("records") if hasattr(rows, "to_dict") else rows
        recorder.artifact(name, msgspec.json.format(msgspec.json.encode(rows, enc_hook=_plain), indent=2))
        return
    text = table.write_csv() if hasattr(table, "write_csv") else _csv(table, name)
    recorder.artifact(name, text.encode())


def _csv(table: Any, name: str) -> str:
    if not hasattr(table, "to_csv"):
        raise PermanentError(
            f"{name!r}: a {type(table).__name__} is no table", hint="give a data frame, or end the name in .json"
        )
    text: str = table.to_csv(index=False)
    return text


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # NumPy
        return value.tolist()
    raise PermanentError(f"a {type(value).__name__} has no JSON form", hint="turn it into numbers, texts and lists")
