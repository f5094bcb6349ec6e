"""`trimtab models fetch`: the files of an imported run, brought to a folder."""

from __future__ import annotations

import argparse
import shutil
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.models.find import expect
from trimtab.cli.models.imported import run_called
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say
from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.records.imported import RunImported
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "fetch [SYSTEM] RUN --to FOLDER")
    if args.to is None:
        raise UsageError("say where the files go: --to FOLDER")
    found, folder = run_called(place, words[0]), args.to
    if not found.files:
        raise PermanentError(f"the imported run {found.run} has no files that are known here")
    missing = [file.path for file in found.files if not file.digest]
    for file in found.files:
        if file.digest:
            shutil.copyfile(place.blobs.checked(file.digest), _target(folder, file.path))
    if missing:
        _bring(found, missing, folder)
    models = [str(folder / file.path) for file in found.files if file.path.endswith(".onnx")]
    if args.json:
        emit_json({"folder": str(folder), "files": [file.path for file in found.files], "models": models})
        return 0
    say(f"{len(found.files):,} files in {folder}")
    for model in models:
        say(f"`trimtab serve {plain(model)}` serves the model", indent=2)
    return 0


def _bring(found: RunImported, paths: list[str], folder: Path) -> None:
    """Those that were left at their place, from there."""
    from trimtab.experiments.importing import FoundRun
    from trimtab.wiring.imports import open_store

    with closing(open_store(f"{found.tool}:{found.store}")) as store:
        same = (run for run in store.runs(found.experiment) if run.id == found.run)
        run: FoundRun | None = next(same, None)
        if run is None:
            raise PermanentError(f"{found.store} no longer has the run {found.run}")
        for path in paths:
            store.copy(run, path, _target(folder, path))


def _target(folder: Path, path: str) -> Path:
    """Where a file goes. A path that leads out of the folder is refused: the store's word is not trusted with that."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise PermanentError(f"the file {path!r} would lie outside of {folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
