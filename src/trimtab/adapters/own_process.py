"""A vendor's package at work in a process of its own.

Such packages print, patch other libraries, start threads and servers, and wait long for a network that is not there.
In a process of their own they do no harm to a training or a loop, and can be ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trimtab.errors import TemporaryError, TrimtabError
from trimtab.experiments.port import Contents, Told, TrackerError
from trimtab.experiments.shown import figures_of, params_of, texts_of

_TEMPORARY, _REFUSED = "temporary", "refused"


class CannotBeReached(Exception):  # noqa: N818 - it says what is
    """Raised in the process by what may go away by itself."""


class Refused(Exception):  # noqa: N818 - it says what is
    """Raised in the process by what will not."""


def ask(module: str, job: Mapping[str, Any], *, seconds: float, named: str, environment: Mapping[str, str]) -> Any:
    """What the function given to `answer` in `module` returns for a job, `environment` put over this one's.

    Raises TemporaryError when it cannot reach what it must, or has not ended after `seconds`, and TrackerError when
    that refuses, or the process fails; `named` is what these begin with. The process and all it started are gone then.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"import {module} as found; found.main()"],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answered: list[bytes] = []
    reading = threading.Thread(target=lambda out: answered.append(out.read()), args=(process.stdout,), daemon=True)
    try:
        reading.start()
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()  # and is left open: its end tells the process that nobody waits for it any more
        reading.join(seconds)
        late = reading.is_alive()
    except BrokenPipeError:
        late = False
    finally:
        _end(process)
        reading.join()
        process.stdout.close()
    if late:
        raise TemporaryError(f"{named} did not end within {seconds:g} s", delay=60.0)
    return _understood(answered[0] if answered else b"", named)


def answer(work: Callable[[dict[str, Any]], Any]) -> None:
    """In the process: do the job that comes in, answer with what it gives, and end, leaving nothing behind. What the
    package prints goes nowhere."""
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(1)
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        told: dict[str, Any] = {"found": work(json.loads(line))}
    except CannotBeReached as error:
        told = {_TEMPORARY: str(error)}
    except Refused as error:
        told = {_REFUSED: str(error)}
    except BaseException as error:  # whatever the package raises is told, not shown
        told = {_REFUSED: f"{type(error).__name__}: {error}"}
    with os.fdopen(out, "wb") as file:
        file.write(json.dumps(told).encode())
    os._exit(0)


def job_of(told: Told, contents: Contents, folder: Path) -> dict[str, Any]:
    """A training in the form in which it goes to such a process. Values that are no numbers stay such: Python's own
    JSON knows them. Files are told by where they lie, the model by where it is put in `folder`."""
    training = told.training
    model = contents.model()
    if model is not None:
        (folder / "model.onnx").write_bytes(model)
    return {
        "system": told.system,
        "group": told.group,
        "training": training.id,
        "outcome": training.outcome,
        "started": training.started.timestamp(),
        "seconds": training.seconds,
        "params": {name: json.loads(text) for name, text in _typed(told).items()},
        "texts": texts_of(told),
        "figures": figures_of(told),
        "curves": [
            {"title": c.title, "steps": c.steps.tolist(), "values": c.values.tolist(), "at": c.at.tolist()}
            for c in contents.curves()
        ],
        "files": {artifact.name: str(contents.artifact(artifact)) for artifact in training.artifacts},
        "patch": contents.patch(),
        "model": None if model is None else str(folder / "model.onnx"),
    }


def place_within(folder: Path, name: str) -> Path:
    """Where a file of that name goes below a folder, which is made."""
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"the file {name!r} would lie outside of {folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _typed(told: Told) -> dict[str, str]:
    """Hyper-parameters as JSON."""
    texts = params_of(told)
    return {
        name: json.dumps(texts[name]) if isinstance(value, str) else texts[name]
        for name, value in told.training.params.items()
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
    process.wait()
    with suppress(BrokenPipeError):
        assert process.stdin is not None
        process.stdin.close()


def _end_with_the_other() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def _understood(answered: bytes, named: str) -> Any:
    try:
        told = json.loads(answered)
    except ValueError as error:
        raise TrackerError(f"{named} ended without an answer") from error
    if _TEMPORARY in told:
        raise TemporaryError(_harmless(f"{named}: {told[_TEMPORARY]}"), delay=60.0)
    if _REFUSED in told:
        raise _refused(named, str(told[_REFUSED]))
    return told["found"]


def _refused(named: str, said: str) -> TrimtabError:
    return TrackerError(_harmless(f"{named}: {' '.join(said.split())[:500]}"))


def _harmless(text: str) -> str:
    """Without what the environment holds as keys."""
    for name, value in os.environ.items():
        if value and len(value) >= 8 and any(word in name for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
            text = text.replace(value, "***")
    return text
