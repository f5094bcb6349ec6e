"""`trimtab report`: the story of a system as one HTML page that needs nothing beside it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import add_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import say, styled

if TYPE_CHECKING:
    from trimtab.wiring.place import Place


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `report`."""
    add_system(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the page goes (default: reports/ of the state)")


def run(args: argparse.Namespace) -> int:
    """Write the page and say where it lies."""
    from trimtab.wiring.place import open_place

    with open_place(args.system, args.state, create=False) as place:
        path = write_report(place, args.out)
    if args.json:
        emit_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        say(f"the story of {place.system.name}: {styled(str(path), 'bold')}")
    return 0


def write_report(place: Place, out: Path | None = None) -> Path:
    """Write the report of all that the ledger holds, whole or not at all; returns where."""
    from trimtab.console.report import collect, render
    from trimtab.records.durable import write_atomically

    path = out if out is not None else place.layout.reports / "report.html"
    write_atomically(path, render(collect(place.ledger.entries(), (), place.system)).encode())
    return path
