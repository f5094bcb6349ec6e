"""What the loop does, told as it does it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import msgspec

from trimtab.cli.terminal import plain, say, styled

STYLES = {"done": "green", "refused": "yellow", "failed": "bold red"}
LONG = frozenset({"train"})
_NO_ACTION = frozenset({"declared", "round", "track"})


def tell(verb: str, text: str) -> None:
    """Print a line when an action begins and one for what it came to, at once."""
    word = styled(f"{verb:<9}", STYLES[verb]) if verb in STYLES else f"{verb:<9}"
    say(f"{word} {plain(text)}", indent=10)
    sys.stdout.flush()


class Story:
    """For a loop that runs for good: one line an action, with the time, and one more before what takes long. Nothing is
    said of a look for data that found none, nor of answers that go on as they are. As JSON, one object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._verb = ""

    def __call__(self, verb: str, text: str) -> None:
        if verb not in STYLES:
            self._verb = verb
            if verb in LONG:
                self._line("begins", text)
            elif verb in _NO_ACTION:
                self.line(verb, text)
            return
        if self._verb == "collect" and text.startswith("0 new rows") and "quarantined" not in text and verb == "done":
            return
        if self._verb == "recalibrate" and text.startswith("stays at") and verb == "done":
            return
        self._line(verb, text)
        self._verb = ""

    def line(self, word: str, text: str) -> None:
        """A line of its own, of no action."""
        self._verb = word
        self._line("", text)
        self._verb = ""

    def _line(self, outcome: str, text: str) -> None:
        now = datetime.now(UTC)
        if self._as_json:
            told = {"at": now, "what": self._verb, "outcome": outcome, "text": text}
            sys.stdout.write(f"{msgspec.json.encode(told).decode()}\n")
        else:
            word = f" {styled(outcome, STYLES.get(outcome, 'dim'))}" if outcome else ""
            say(f"{now:%H:%M:%S} {self._verb}{word}: {plain(text)}", indent=9)
        sys.stdout.flush()
