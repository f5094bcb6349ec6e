"""`trimtab data profile`, `report` and `expectations`: what is in a dataset, and what could be required of it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError
from trimtab.cli.figures import number
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.errors import PermanentError

if TYPE_CHECKING:
    from trimtab.data.quality.port import Note
    from trimtab.data.quality.profile import ColumnProfile, Profile
    from trimtab.data.quality.suggest import Suggested
    from trimtab.data.store.versions import DatasetStore
    from trimtab.declaration.system import System
    from trimtab.wiring.place import Place
    from trimtab.wiring.quality import Looked

_TOOL = "great_expectations"


def profile(place: Place, store: DatasetStore, args: argparse.Namespace) -> int:
    """A table of the columns; with `--suggest` the lines that could be declared."""
    from trimtab.data.quality.profile import profile as profiled
    from trimtab.wiring.quality import look

    now = datetime.now(UTC)
    looked = look(place, store, args.version, now)
    told = profiled(looked.rows.drop(looked.hidden), store.spec.name)
    suggested = _suggested(place, store, looked, now) if args.suggest else None
    if args.json:
        lines = _lines(suggested, place.system) if suggested is not None else None
        emit_json({"profile": told, "version": looked.version, "hidden": looked.hidden, "suggested": lines})
        return 0
    if suggested is not None:
        _show_suggested(place.system, suggested, told)
        return 0
    where = f"version {looked.version[:10]}" if looked.version else "from its source, not collected yet"
    say(f"{styled(store.spec.name, 'bold')}: {told.rows:,} rows, {len(told.columns)} columns, {where}")
    rows = [
        [plain(c.name), c.kind, _share(c.nulls, c.rows), f"{c.distinct:,}", plain(_span(c)), plain(_often(c))]
        for c in told.columns
    ]
    show_table("", ("column", "kind", "null", "distinct", "from .. to", "mostly"), rows, right=(2, 3))
    if looked.hidden:
        say(f"personal, and not shown: {', '.join(map(plain, looked.hidden))}")
    say("`trimtab data profile NAME --suggest` writes what could be required")
    return 0


def report(place: Place, store: DatasetStore, args: argparse.Namespace) -> int:
    """Write the page and say where it lies."""
    from trimtab.console.data_report import collect, render
    from trimtab.records.durable import write_atomically
    from trimtab.wiring.quality import look, other

    now = datetime.now(UTC)
    looked = look(place, store, args.version, now)
    page = render(
        collect(
            looked.rows,
            store.spec,
            place.system,
            version=looked.version,
            hidden=looked.hidden,
            quarantined=store.quarantined(500),
            entries=place.ledger.entries(),
            others=lambda name: other(place, name),
        )
    )
    path = args.out if args.out is not None else place.layout.reports / f"data-{store.spec.name}.html"
    write_atomically(path, page.encode())
    if args.json:
        emit_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        say(f"the quality of {store.spec.name}: {styled(str(path), 'bold')}")
    return 0


def expectations(place: Place, store: DatasetStore, way: str, file: Path, args: argparse.Namespace) -> int:
    """`export` writes a suite of Great Expectations; `import` reads one and writes the lines that say the same."""
    if way == "export":
        return _export(place, store, file, args)
    if way == "import":
        return _import(store, file, args)
    raise UsageError("write `trimtab data expectations [SYSTEM] export|import NAME FILE`")


def _export(place: Place, store: DatasetStore, file: Path, args: argparse.Namespace) -> int:
    from trimtab.data.quality.profile import kind_of
    from trimtab.records.durable import write_atomically
    from trimtab.wiring.quality import look, suites

    rows = look(place, store, args.version, datetime.now(UTC)).rows
    types = {name: kind_of(dtype) for name, dtype in rows.schema.items()}
    required = place.system.requirements if store.spec.label is not None else ()
    exported = suites(_TOOL).exported(store.spec, required, types, store.spec.name)
    write_atomically(file, json.dumps(exported.suite, indent=2).encode() + b"\n")
    if args.json:
        emit_json({"file": str(file), "expectations": len(exported.suite["expectations"]), "notes": exported.notes})
        return 0
    say(f"{len(exported.suite['expectations'])} expectations written to {styled(str(file), 'bold')}")
    _show_notes(exported.notes)
    return 0


def _import(store: DatasetStore, file: Path, args: argparse.Namespace) -> int:
    from trimtab.declaration.requirements.writing import dataset_lines, requirement_lines
    from trimtab.wiring.quality import suites

    try:
        suite = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise PermanentError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PermanentError(f"{file} is no JSON: {error}") from error
    if not isinstance(suite, dict):
        raise PermanentError(f"{file} is no suite: it holds {type(suite).__name__}")
    imported = suites(_TOOL).imported(suite, store.spec.key)
    required = requirement_lines(imported.requirements)
    dataset = dataset_lines(imported.valid, imported.consistent)
    if args.json:
        emit_json({"requirements": required, "data": dataset, "notes": imported.notes})
        return 0
    _show_lines(store.spec.name, required, dataset)
    _show_notes(imported.notes, comment="# ")
    return 0


def _suggested(place: Place, store: DatasetStore, looked: Looked, now: datetime) -> Suggested:
    from trimtab.data.quality.suggest import suggest
    from trimtab.wiring.quality import other

    system, spec, rows = place.system, store.spec, looked.rows
    coming = None
    if spec.time in rows.columns and rows.height:
        times = rows.get_column(spec.time).drop_nulls()
        first, last = times.min(), times.max()
        if isinstance(first, datetime) and isinstance(last, datetime) and last > first:
            share = system.policy.window / (last - first).total_seconds()
            coming = min(rows.height, max(100, round(rows.height * share)))
            now = min(now, last)  # what a history of long ago was like while it was new
    return suggest(
        rows,
        spec,
        now=now,
        coming=coming,
        have=system.requirements,
        hidden=looked.hidden,
        others=lambda name: other(place, name),
    )


def _lines(suggested: Suggested, system: System) -> dict[str, list[str]]:
    """The lines by the table they belong to, and in `instead` which metrics are required already: TOML has each key
    once, so their lines stand here too, and these take their place."""
    from trimtab.declaration.requirements.writing import dataset_lines, requirement_lines

    metrics = {one.metric for one in suggested.requirements}
    there = [one for one in system.requirements if one.metric in metrics]
    return {
        "requirements": requirement_lines([*there, *suggested.requirements]),
        "data": dataset_lines(suggested.valid, suggested.consistent),
        "instead": list(dict.fromkeys(one.metric for one in there)),
    }


def _show_suggested(system: System, suggested: Suggested, told: Profile) -> None:
    lines, name, rows = _lines(suggested, system), told.dataset, told.rows
    if not lines["requirements"] and not lines["data"]:
        say(f"{rows:,} rows of {name} suggest nothing that is not declared already")
        return
    say(f"# suggested by {rows:,} rows of {name}: they hold it, and the next ones of their kind nearly always will")
    if lines["instead"]:
        say(f"# in place of what is there: {', '.join(lines['instead'])}")
    _show_lines(name, lines["requirements"], lines["data"])
    silent = [column for column in suggested.left_out if told.column(column).nulls < told.rows]
    if silent:
        say(f"# nothing is suggested for the values of {', '.join(silent)}")


def _show_lines(name: str, required: list[str], dataset: list[str]) -> None:
    if required:
        say("[requirements]")
        for line in required:
            say(line)
    if dataset:
        say()
        say(f"# in the [[data]] table of {name}, behind its other keys")
        for line in dataset:
            say(line)


def _show_notes(notes: tuple[Note, ...], comment: str = "") -> None:
    for note in notes:
        say(f"{comment}{note.kind}: {plain(note.what)}: {note.why}", indent=2)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if part else "-"


def _span(column: ColumnProfile) -> str:
    if column.low is None:
        return ""
    if isinstance(column.low, datetime):
        return f"{column.low:%Y-%m-%d %H:%M} .. {column.high:%Y-%m-%d %H:%M}"
    if column.kind == "text":
        return f"{column.low} .. {column.high} letters" if column.low != column.high else f"{column.low} letters"
    return f"{number(float(column.low))} .. {number(float(column.high))}"


def _often(column: ColumnProfile) -> str:
    if column.kind == "time":
        days = f"{column.days:.0%} of days" if column.days is not None else ""
        return f"{days}, longest gap {column.gap / 3600:.3g} h" if column.gap else days
    if column.quantiles and not column.tops:
        return f"{number(column.quantiles[1])} .. {number(column.quantiles[3])} (half of them)"
    if column.shapes and column.distinct > column.present / 2:
        return ", ".join(f"{shape.value} {_share(shape.count, column.present)}" for shape in column.shapes)
    return ", ".join(f"{top.value} {_share(top.count, column.present)}" for top in column.tops[:3])
