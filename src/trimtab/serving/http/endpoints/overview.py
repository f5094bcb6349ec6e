"""Counters and status of the whole server, whichever of its processes is asked and however many systems it serves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trimtab.records.server import ProcessStatus, ServerStatus
from trimtab.serving.http.endpoints.about import About
from trimtab.serving.processes.board import STATES, Board
from trimtab.serving.processes.exposition import Families, joined, labelled, merge, read_text, write_text
from trimtab.serving.processes.seat import Seat
from trimtab.serving.processes.siblings import Siblings
from trimtab.serving.processes.tally import Tally, tally_name
from trimtab.serving.processes.together import status_of_all

METRICS, STATUS = "metrics", "status"
_OF_THE_PROCESS = frozenset(
    ("trimtab_requests_total", "trimtab_connections", "trimtab_resident_bytes", "trimtab_uptime_seconds")
)


class Company:
    """The processes that serve together: this one's `seat`, the `board` they share, its `siblings`, the `tally` of what
    all of them have counted, and the `pid` of their supervisor."""

    def __init__(self, seat: Seat, board: Board, siblings: Siblings, tally: Tally, pid: int) -> None:
        self.seat = seat
        self.board = board
        self.siblings = siblings
        self.tally = tally
        self.pid = pid


class Overview:
    """`systems` tell about themselves, by name; they may become more. `company` is None for the only process."""

    def __init__(self, systems: Mapping[str, About], company: Company | None) -> None:
        self._systems = systems
        self._company = company

    def counted(self) -> str:
        """The counters of this process, for all its systems; kept for the others when this process ends."""
        if len(self._systems) == 1:
            (about,) = self._systems.values()
            text = about.counted()
        else:
            text = write_text(_of_systems({name: read_text(about.counted()) for name, about in self._systems.items()}))
        if self._company is not None:
            self._company.tally.deposit(text)
        return text

    async def metrics(self) -> str:
        """The counters of all processes, as Prometheus text."""
        own, company = self.counted(), self._company
        if company is None:
            return own
        seat = company.seat
        texts = {seat.slot: own}
        for slot, told in (await company.siblings.ask(METRICS)).items():
            if told is not None:
                texts[slot] = told.decode()
        living = {tally_name(slot, company.board.starts(slot)) for slot in texts}
        parts = {str(slot): read_text(texts[slot]) for slot in sorted(texts)}
        total = merge(parts, "process", company.tally.ended(living))
        total |= read_text(_of_the_board(company.board))
        return write_text(total)

    async def status(self, system: str) -> ServerStatus:
        """What the server says of one system. Raises LookupError for one that is not served."""
        own, company = self._systems[system].standing(), self._company
        if company is None:
            return own
        told = await company.siblings.ask(STATUS, system.encode())
        those = {company.seat.slot: own}
        for slot, body in told.items():
            if body is not None:
                those[slot] = msgspec.json.decode(body, type=ServerStatus)
        silent, board = sum(body is None for body in told.values()), company.board
        missing = board.count - len(those) - silent
        status = status_of_all([those[slot] for slot in sorted(those)], company.pid, silent=silent, missing=missing)
        serving = [those[slot] for slot in board.serving() if slot in those] or [own]
        processes = tuple(_process(board, slot, those.get(slot)) for slot in range(board.count))
        return msgspec.structs.replace(status, ready=all(one.ready for one in serving), processes=processes)

    def answer(self, verb: str, body: bytes) -> bytes | None:
        """What another process asks; None where it asks for something else. Raises LookupError as above."""
        if verb == METRICS:
            return self.counted().encode()
        if verb == STATUS:
            return msgspec.json.encode(self._systems[body.decode()].standing())
        return None


def _of_systems(systems: Mapping[str, Families]) -> Families:
    """Each system's families under its name; what belongs to the process stands there once."""
    parts = []
    for position, (name, families) in enumerate(systems.items()):
        parts.append(
            labelled({key: one for key, one in families.items() if key not in _OF_THE_PROCESS}, "system", name)
        )
        if position == 0:
            parts.append({key: one for key, one in families.items() if key in _OF_THE_PROCESS})
    return joined(parts)


def _of_the_board(board: Board) -> str:
    started = sum(board.starts(slot) for slot in range(board.count))
    return (
        "# HELP trimtab_processes Processes that take connections.\n# TYPE trimtab_processes gauge\n"
        f"trimtab_processes {len(board.serving())}\n"
        "# HELP trimtab_process_restarts_total Processes that were started in place of one that ended.\n"
        "# TYPE trimtab_process_restarts_total counter\n"
        f"trimtab_process_restarts_total {max(0, started - board.count)}\n"
    )


def _process(board: Board, slot: int, status: ServerStatus | None) -> ProcessStatus:
    seen = ProcessStatus(
        process=slot,
        pid=board.pid(slot),
        state=STATES[board.state(slot)],
        starts=board.starts(slot),
        connections=board.connections(slot),
    )
    if status is None:
        return seen
    return msgspec.structs.replace(seen, applied=status.applied, rss=status.rss)
