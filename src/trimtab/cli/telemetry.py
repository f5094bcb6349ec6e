"""`trimtab telemetry`: what was answered, and the truth that came later."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.cli.arguments import UsageError, add_actions, moment, take_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled

if TYPE_CHECKING:
    import polars as pl

    from trimtab.serving.telemetry.maintenance.verify import SegmentState
    from trimtab.serving.telemetry.reading.reader import TelemetryReader
    from trimtab.wiring.place import Place

_ACTIONS = {
    "list": "every segment on disk: its span, its rows, its form",
    "show": "what came in all; ID: one prediction, its inputs and its truths",
    "export": "FILE: write predictions with their inputs and truths",
    "verify": "read every row again, and check every checksum",
    "prune": "what `telemetry_keep` lets go and the loop does not need",
    "compact": "turn sealed segments into Arrow files at once",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `telemetry`."""
    add_actions(parser, _ACTIONS, "[SYSTEM] ...", "then what the action takes")
    parser.add_argument("--since", type=moment, metavar="TIME", help="only predictions from that moment on")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only predictions before that moment")
    parser.add_argument("--release", metavar="RELEASE", help="export what this release scored")
    parser.add_argument("--format", metavar="FORMAT", help="export as parquet, csv, arrow or ndjson (default: by FILE)")
    parser.add_argument("--yes", action="store_true", help="prune: really remove it")


def run(args: argparse.Namespace) -> int:
    """Do the action; 1 when `verify` found damage or `compact` left some."""
    from trimtab.records.layout import Layout
    from trimtab.wiring.place import is_model, open_place, place_of

    system, words = take_system(args.words, models=True)
    actions: dict[str, Callable[[Path, list[str], argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "export": _export,
        "verify": _verify,
        "compact": _compact,
    }
    if is_model(Path(system)):
        if args.action == "prune":
            raise UsageError("the telemetry of a model file is pruned by hand", hint="remove folders of old segments")
        return actions[args.action](Layout(place_of(system, args.state)).telemetry, words, args)
    with open_place(system, args.state, create=False) as place:
        if args.action == "prune":
            return _prune(place, words, args)
        return actions[args.action](place.layout.telemetry, words, args)


def _expect(words: list[str], least: int, most: int, usage: str) -> None:
    if not least <= len(words) <= most:
        raise UsageError(f"write `trimtab telemetry {usage}`")


def _list(folder: Path, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 0, "list [SYSTEM]")
    from trimtab.serving.telemetry.maintenance.verify import listed

    found = listed(folder)
    if args.json:
        emit_json(found)
        return 0
    if not found.segments:
        say("nothing was answered yet")
        return 0
    rows = [
        [_span(one), one.form, f"{one.answers:,}", f"{one.truths:,}", _size(one.bytes), _flaws(one)]
        for one in found.segments
    ]
    show_table("", ("from", "form", "answers", "truths", "size", ""), rows, right=(2, 3, 4))
    total = [sum(getattr(one, name) for one in found.segments) for name in ("answers", "truths", "bytes")]
    say(f"{_several(len(rows))}: {total[0]:,} answers, {total[1]:,} truths, {_size(total[2])}")
    for name in found.aside:
        say(f"beside them: {name}")
    return 0


def _span(one: SegmentState) -> str:
    from trimtab.serving.telemetry.segments import moment as told

    if not one.first:
        return "empty"
    return f"{told(one.first):%Y-%m-%d %H:%M} to {told(one.last):%Y-%m-%d %H:%M}"


def _flaws(one: SegmentState) -> str:
    dropped = f"{one.dropped:,} rows could not be kept" if one.dropped else ""
    return "; ".join(filter(None, [dropped, *map(plain, one.problems)]))


def _several(count: int) -> str:
    return f"{count:,} segment" + ("s" if count != 1 else "")


def _size(count: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count //= 1024
    return f"{count:,} GiB"


def _reader(folder: Path) -> TelemetryReader:
    from trimtab.serving.telemetry.reading.reader import TelemetryReader

    reader = TelemetryReader(folder)
    reader.refresh()
    return reader


def _show(folder: Path, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 1, "show [SYSTEM] [ID]")
    return _show_one(folder, words[0], args) if words else _show_all(folder, args)


def _show_all(folder: Path, args: argparse.Namespace) -> int:
    import polars as pl

    reader = _reader(folder)
    rows = reader.predictions(args.since, args.until)
    shown = (
        rows.group_by("release", "stage", maintain_order=True)
        .agg(
            rows=pl.len(),
            truths=pl.col("label").is_not_null().sum(),
            first=pl.col("at").min(),
            last=pl.col("at").max(),
            latency=pl.col("latency").median(),
        )
        .sort("first", "release", "stage")
    )
    gaps = reader.gaps(args.since, args.until)
    counts = {
        "asked again": reader.duplicates,
        "truths that came again": reader.repeated_truths,
        "ids with truths that differ": reader.contested_truths,
        "truths of ids that were never seen": reader.orphans,
        "truths that say nothing": reader.unreadable_truths,
        "answered rows that could not be kept": sum(gap.rows for gap in gaps),
    }
    if args.json:
        emit_json({"releases": shown.to_dicts(), "counts": counts})
        return 0
    if rows.is_empty():
        say("nothing was answered" + (" then" if args.since or args.until else " yet"))
        return 0
    lines = [
        [plain(one["release"]), one["stage"], f"{one['rows']:,}", f"{one['truths'] / one['rows']:.1%}",
         f"{one['first']:%Y-%m-%d %H:%M}", f"{one['last']:%Y-%m-%d %H:%M}", f"{1000 * one['latency']:.2f} ms"]
        for one in shown.to_dicts()
    ]  # fmt: skip
    show_table("", ("release", "stage", "rows", "with truth", "first", "last", "median"), lines, right=(2, 3, 6))
    for what, count in counts.items():
        if count:
            say(f"{count:,} {what}")
    return 0


def _show_one(folder: Path, name: str, args: argparse.Namespace) -> int:
    from trimtab.serving.telemetry.reading.export import prediction

    found = prediction(folder, name)
    if not found.rows and not found.truths:
        raise UsageError(f"no prediction and no truth has the id {name!r}", hint="`trimtab telemetry export` lists ids")
    if args.json:
        emit_json(found._asdict())
        return 0
    for row in found.rows:
        at = f"{row.pop('time'):%Y-%m-%d %H:%M:%S.%f} UTC"
        release, stage, model = (plain(str(row.pop(key))) for key in ("release", "stage", "model"))
        say(f"{styled(at, 'bold')} scored by {release} ({stage}, model {model[:10]})")
        for key, cell in row.items():
            if cell is not None and key not in ("id", "kept", "share"):
                say(f"  {key:<28}  {plain(_brief(cell))}", indent=32)
        if not row["kept"]:
            say(f"  its inputs are not kept: a share of {row['share']:g} is")
    for truth in found.truths:
        say(f"{truth['time']:%Y-%m-%d %H:%M:%S} UTC told to be {plain(str(truth['truth']))}{truth['note']}")
    return 0


def _brief(cell: Any) -> str:
    text = cell.hex() if isinstance(cell, bytes) else str(cell)
    return text if len(text) <= 60 else text[:57] + "..."


def _export(folder: Path, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 1, 1, "export [SYSTEM] FILE [--format FORMAT] [--since TIME]")
    import polars as pl

    from trimtab.serving.telemetry.reading.export import FORMATS, joined, write

    path = Path(words[0])
    kind = args.format or path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{kind or path.name!r} is no format to export to", hint=f"--format {', '.join(FORMATS)}")
    table: pl.DataFrame = joined(_reader(folder), args.since, args.until)
    if args.release:
        table = table.filter(pl.col("release") == args.release)
    write(table, path, kind)
    if args.json:
        emit_json({"rows": table.height, "columns": table.columns, "file": str(path)})
    else:
        say(f"{table.height:,} rows written to {path}")
    return 0


def _verify(folder: Path, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 0, "verify [SYSTEM]")
    from trimtab.serving.telemetry.maintenance.verify import verify

    found = verify(folder)
    if args.json:
        emit_json(found)
        return int(not found.sound)
    for one in found.segments:
        for problem in one.problems:
            say(f"{one.name}: {plain(problem)}", indent=4)
    answers, truths = (sum(getattr(one, name) for one in found.segments) for name in ("answers", "truths"))
    word = styled("sound", "green") if found.sound else styled("damaged", "bold red")
    say(f"{_several(len(found.segments))}, {answers:,} answers, {truths:,} truths: {word}")
    return int(not found.sound)


def _prune(place: Place, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 0, "prune [SYSTEM] [--yes]")
    from trimtab.loop.passes.reconcile import releases_of
    from trimtab.loop.past.old_telemetry import needed_since, remove
    from trimtab.records.base import SystemClock
    from trimtab.serving.telemetry.maintenance.retention import prunable

    keep = place.system.serve.telemetry.keep
    if keep is None:
        raise UsageError(
            "how long telemetry stays is not declared, so none may go", hint='write telemetry_keep = "180 d" in [serve]'
        )
    now = SystemClock().now()
    before = min(now - timedelta(seconds=keep), needed_since(place.system, releases_of(place.ledger), now))
    found = prunable(place.layout.telemetry, before)
    if found and args.yes:
        with place.lead():
            remove(place.ledger, place.layout.telemetry, found, before, now)
    if args.json:
        emit_json({"before": before, "removed": args.yes, "segments": found})
        return 0
    answers, size = (sum(getattr(one, name) for one in found) for name in ("answers", "bytes"))
    what = f"{_several(len(found))} with {answers:,} answers ({_size(size)}) from before {before:%Y-%m-%d %H:%M} UTC"
    done = "removed" if args.yes else "may go; --yes removes them"
    say(f"{what}: {done}" if found else "nothing is old enough to go")
    return 0


def _compact(folder: Path, words: list[str], args: argparse.Namespace) -> int:
    _expect(words, 0, 0, "compact [SYSTEM]")
    from trimtab.serving.telemetry.maintenance.compaction import compact

    left: list[str] = []
    done = compact(folder, told=left.append) if folder.is_dir() else []
    if args.json:
        emit_json({"compacted": done, "left": left})
    else:
        for line in left:
            say(plain(line), indent=4)
        say(f"{_several(len(done))} compacted")
    return int(bool(left))
