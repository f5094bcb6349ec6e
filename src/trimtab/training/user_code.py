"""The user's own module in the worker: how it is imported, and how what it raises becomes a refusal."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trimtab.errors import PermanentError, TrimtabError
from trimtab.training.job import WorkOrder


def import_entry(order: WorkOrder, code: Path) -> Any:
    """The entry module of the files in folder `code`, which becomes the working directory. Raises PermanentError when
    it cannot be imported or lacks a function."""
    entry = code / order.entry
    os.chdir(code)
    sys.path[:0] = list(dict.fromkeys([str(entry.parent), str(code)]))
    spec = importlib.util.spec_from_file_location(entry.stem, entry)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[entry.stem] = module
    with users(f"{order.entry} cannot be imported: it"):
        spec.loader.exec_module(module)
    wanted = ["train"] + ["features"] * order.has_features + ["postprocess"] * order.has_postprocess
    for name in wanted:
        if not callable(getattr(module, name, None)):
            raise PermanentError(f"{order.entry} has no function {name}")
    return module


_EXTRAS = {"sklearn": "train", "lightgbm": "train", "xgboost": "xgboost", "torch": "torch", "onnxscript": "torch"}
"""What brings a library that a model may come from."""


@contextmanager
def users(what: str) -> Iterator[None]:
    """What the user's code raises becomes a refusal that names the place; the traceback goes to the log."""
    try:
        yield
    except (MemoryError, TrimtabError):
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: the user's code does not decide when the worker ends
        own = str(Path.cwd())
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(own)]
        where = f" ({Path(frames[-1].filename).relative_to(own)}:{frames[-1].lineno})" if frames else ""
        said = " ".join(str(error).split())
        message = f"{what} raised {type(error).__name__}: {said}"[:500]
        missing = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        hint = f"pip install 'trimtab[{_EXTRAS[missing]}]'" if missing in _EXTRAS else ""
        raise PermanentError(message + where, hint=hint) from error
