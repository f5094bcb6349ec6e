"""DVC's command line, run for one answer."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from trimtab.data.port import DataError
from trimtab.errors import TemporaryError
from trimtab.records.objects import without_keys

PROGRAM = "TRIMTAB_DVC"
"""The environment variable that names the program, where it is not called `dvc` on the path."""

_LASTING = re.compile(
    r"unknown git revision|no git repository|not a git repository|not a dvc repository|does not exist|unexpected error"
    r"|no remote|cannot be found|not found|authentication|permission denied|forbidden|access denied|invalid"
    r"|unrecognized",
    re.IGNORECASE,
)
_USER = re.compile(r"//[^/@\s]+@")


def run(words: Sequence[str], folder: Path, environment: Mapping[str, str], *, seconds: float, named: str) -> str:
    """What DVC writes to its output. It asks nobody for anything, and reports nothing home.

    Raises PermanentError kinds for what trying again does not mend, else TemporaryError; messages begin with `named`.
    """
    program = environment.get(PROGRAM) or shutil.which("dvc", path=environment.get("PATH"))
    if not program:
        raise DataError(
            f"{named}: DVC is not installed",
            hint=f"install it in an environment of its own (pipx install dvc), or let {PROGRAM} name the program",
        )
    quiet = {"DVC_NO_ANALYTICS": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            [program, *words], cwd=folder, env={**environment, **quiet}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TemporaryError(f"{named}: DVC did not finish within {seconds:g} s", delay=0.0) from None
    except OSError as error:
        raise DataError(f"{named}: {program} cannot be run: {error.strerror}", hint=f"look at {PROGRAM}") from error
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    said = _said(done.stderr.decode("utf-8", "replace"), environment)
    if _LASTING.search(said):
        raise DataError(
            f"{named}: DVC says: {said}", hint="look at the repository, the revision, the path and the remote"
        )
    raise TemporaryError(f"{named}: DVC says: {said}", delay=0.0)


def _said(text: str, environment: Mapping[str, str]) -> str:
    """The line that names the error, without keys and without users of addresses."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    last = (wrong or lines or ["nothing"])[-1]
    return _USER.sub("//***@", without_keys(last, environment))[:300]
