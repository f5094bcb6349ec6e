"""The code that a training ran against the last commit: which, whether it was changed since, and how."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from trimtab.records.tracking import SourceState

_TIMEOUT = 10.0
_LARGEST = 2**20


class Found(NamedTuple):
    """The state, without its blob, and the difference in the unified form."""

    state: SourceState
    patch: str


def source_state(root: Path, contents: Mapping[str, bytes]) -> Found:
    """The state of the files that training reached: `contents` by path below `root`, as they were read.

    They are compared as they were read, so that an edit while the training runs does not count. Of files that are no
    Python, which may be rows, or that are larger than 1 MiB the difference is not told, only that there is one.
    """
    try:
        told = _git(root, ["log", "-1", "--format=%H%n%D"]).decode().split("\n")
    except (OSError, subprocess.SubprocessError) as error:
        return Found(SourceState(why=_why(error)), "")
    commit, refs = told[0], told[1] if len(told) > 1 else ""
    branch = refs.partition("HEAD -> ")[2].partition(",")[0].strip() if "HEAD -> " in refs else ""
    try:
        committed = _at_commit(root, commit, list(contents))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Found(SourceState(commit=commit, branch=branch, why=_why(error)), "")
    changed = tuple(path for path, now in contents.items() if path in committed and committed[path] != now)
    untracked = tuple(path for path in contents if path not in committed)
    patch = "".join(_difference(path, committed.get(path), contents[path]) for path in (*changed, *untracked))
    return Found(SourceState(commit=commit, branch=branch, changed=changed, untracked=untracked), patch)


def _at_commit(root: Path, commit: str, paths: list[str]) -> dict[str, bytes]:
    """What the commit holds of these paths, relative to `root`; a path that it does not hold is left out."""
    asked = [path for path in paths if "\n" not in path]
    answer = _git(root, ["cat-file", "--batch"], "".join(f"{commit}:./{path}\n" for path in asked).encode())
    found, at = {}, 0
    for path in asked:
        end = answer.index(b"\n", at)
        head = answer[at:end].split()
        at = end + 1
        if head[-1] == b"missing":
            continue
        size = int(head[-1])
        if head[-2] == b"blob":
            found[path] = answer[at : at + size]
        at += size + 1
    return found


def _git(root: Path, arguments: list[str], given: bytes = b"") -> bytes:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    return subprocess.run(
        ["git", *arguments], cwd=root, input=given, capture_output=True, check=True, timeout=_TIMEOUT, env=environment
    ).stdout


def _difference(path: str, before: bytes | None, now: bytes) -> str:
    if not path.endswith(".py") or max(len(before or b""), len(now)) > _LARGEST:
        return f"File {path} differs: {len(now):,} bytes\n"
    try:
        old, new = (before or b"").decode("utf-8"), now.decode("utf-8")
    except UnicodeDecodeError:
        return f"File {path} differs: {len(now):,} bytes\n"
    named = "/dev/null" if before is None else f"a/{path}"
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), named, f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "git is not installed"
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        if "not a git repository" in said:
            return "not in a git repository"
        if "does not have any commits" in said or "unknown revision" in said:
            return "nothing was committed yet"
        return f"git says: {said}"
    return f"git did not answer: {type(error).__name__}"
