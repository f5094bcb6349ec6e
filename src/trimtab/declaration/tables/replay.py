"""`[replay]`: the span of history to go through again, and what is done to it on purpose."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trimtab.declaration.paths import check_file
from trimtab.declaration.problems import KeyPath, Problems, describe
from trimtab.declaration.reading import Table
from trimtab.declaration.system import Incident, Replay
from trimtab.errors import DeclarationError

_EXAMPLE = "write 2013-03-01T05:00:00Z, or declare timezone beside it"


def zone(name: str) -> tzinfo:
    """The named time zone; DeclarationError when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DeclarationError(
            f'"{name}" is not a known time zone', hint='write an IANA name such as "America/New_York" or "UTC"'
        ) from error


def parse_moment(value: object, default: tzinfo | None) -> datetime:
    """A TOML datetime or date, or an ISO 8601 text, as UTC. A naive one needs a default zone. DeclarationError."""
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError as error:
            raise DeclarationError(f'"{value}" is not a moment in ISO 8601', hint=_EXAMPLE) from error
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    if not isinstance(moment, datetime):
        raise DeclarationError(f"expected a moment, found {describe(value)}", hint=_EXAMPLE)
    if moment.tzinfo is None:
        if default is None:
            raise DeclarationError(f"{moment.isoformat()} has no time zone", hint=_EXAMPLE)
        moment = moment.replace(tzinfo=default)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise DeclarationError(f"{value} is out of range") from error


def read_replay(table: Table, folder: str) -> Replay | None:
    """`[replay]`; None when it is too wrong to use (the problems are recorded)."""
    name = table.text("timezone", '"America/New_York"')
    default: tzinfo | None = None
    if name is not None:
        with table.problems.at(table.key("timezone")):
            default = zone(name)
        if default is None:
            default = UTC  # already reported; do not report each moment as well
    start = _moment(table, "start", default)
    end = _moment(table, "end", default)
    step = table.duration("step", '"1 d"')
    incidents = _incidents(table, folder, default, start, end)
    table.close()
    if start is None or end is None:
        return None
    if end <= start:
        table.problems.add(table.key("end"), "is not after the start")
        return None
    replay = Replay(start=start, end=end, incidents=incidents, **({} if step is None else {"step": step}))
    if replay.step > (end - start).total_seconds():
        table.problems.add(table.key("step"), "is longer than the whole span, so that no pass would be run")
    return replay


def _moment(table: Table, key: str, default: tzinfo | None) -> datetime | None:
    if not table.require(key, "2013-03-01T05:00:00Z"):
        return None
    with table.problems.at(table.key(key)):
        return parse_moment(table.values[key], default)
    return None


def _incidents(
    table: Table, folder: str, default: tzinfo | None, start: datetime | None, end: datetime | None
) -> tuple[Incident, ...]:
    incidents = []
    for position, values in table.list_of_tables("incidents"):
        entry = Table(table.problems, table.key("incidents", position), values)
        at = _moment(entry, "at", default)
        code = entry.text("code", '"broken_model.py"') if entry.require("code", '"broken_model.py"') else None
        gated = entry.flag("gated")
        entry.close()
        if code is not None:
            check_file(table.problems, entry.key("code"), folder, code)
        if at is not None and start is not None and end is not None and not start <= at < end:
            _outside(table.problems, entry.key("at"))
        if at is not None and code is not None:
            incidents.append(Incident(at=at, code=code, gated=gated or False))
    return tuple(sorted(incidents, key=lambda incident: incident.at))


def _outside(problems: Problems, key: KeyPath) -> None:
    problems.add(key, "lies outside of the replayed span")
