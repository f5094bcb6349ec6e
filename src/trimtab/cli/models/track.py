"""`trimtab models track`: write to the declared trackers what they lack, at once."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.models.find import expect
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, show_table
from trimtab.errors import TemporaryError

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def run(place: Place, words: list[str], args: argparse.Namespace) -> int:
    """Do the action; 1 when a tracker still lacks something."""
    expect(words, 0, 0, "track [SYSTEM]")
    from trimtab.wiring.tracking import copying

    if not place.system.tracking.to:
        raise UsageError("no tracker is declared", hint='write [tracking] and to = ["folder:trainings"] below it')
    with copying(place) as found:
        if found is None:
            raise TemporaryError("another process is writing to the trackers", delay=10.0, hint="let it finish")
        stands = found.copy(at_once=True)
    if args.json:
        emit_json(stands)
    else:
        rows = [[plain(s.tracker), str(s.written), str(s.held), str(s.waiting), plain(s.trouble)] for s in stands]
        show_table("", ("tracker", "written", "holds", "waiting", "why"), rows, right=(1, 2, 3))
    return int(any(each.waiting or each.trouble for each in stands))
