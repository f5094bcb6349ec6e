"""`trimtab models artifacts`: the files that a training saved, and a copy of them."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.figures import quantity
from trimtab.cli.models.find import SHORT, expect
from trimtab.cli.models.tracked import named
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table
from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.records.tracking import Training
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action."""
    expect(words, 1, 1, "artifacts [SYSTEM] MODEL [--to DIR]")
    training = named(place, words[0])
    if args.to is not None:
        _export(place, training, args.to)
    if args.json:
        emit_json({"training": training.id, "artifacts": training.artifacts, "patch": training.source.patch})
        return 0
    rows = [[plain(each.name), quantity(each.size, "KiB", 2**10), each.digest[:SHORT]] for each in training.artifacts]
    if rows:
        show_table("", ("artifact", "size", "digest"), rows, right=(1,))
    else:
        say("it saved no files: call trimtab.log_artifact(path) in train()")
    for line in training.dropped:
        say(f"left out: {plain(line)}", indent=2)
    if args.to is not None:
        say(f"copied to {plain(str(args.to))}")
    return 0


def _export(place: Place, training: Training, to: Path) -> None:
    """Copies of all files, and `code.patch` where the code was not what was committed."""
    try:
        for each in training.artifacts:
            target = to / each.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place.blobs.checked(each.digest), target)
        if training.source.patch:
            to.mkdir(parents=True, exist_ok=True)
            (to / "code.patch").write_bytes(place.blobs.get(training.source.patch))
    except OSError as error:
        raise PermanentError(f"artifacts cannot be copied to {to}: {error.strerror}") from error
