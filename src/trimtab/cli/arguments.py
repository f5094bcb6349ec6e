"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from trimtab.errors import TrimtabError

SYSTEM = "a trimtab.toml or the folder that holds it (default: .)"


class UsageError(TrimtabError):
    """The words of the command line do not make sense together."""


class Words(argparse.ArgumentParser):
    """The words of one verb. What is wrong with them is told with the usage and the mend."""

    actions: Mapping[str, str] = {}

    def error(self, message: str) -> NoReturn:
        """Say it and end with 2."""
        if self.actions and "ACTION" in message:
            first = next(iter(self.actions))
            message = f"the action comes first, as in `{self.prog} {first}`: one of {', '.join(self.actions)}"
        elif " --port" in message or " --host" in message:
            message += " (the address is declared: port and host of [serve])"
        super().error(message)


def add_system(parser: argparse.ArgumentParser) -> None:
    """SYSTEM, `--state` and `--json`."""
    parser.add_argument("system", nargs="?", default=".", metavar="SYSTEM", help=SYSTEM)
    add_state(parser)


def add_words(parser: argparse.ArgumentParser, names: str, meaning: str) -> None:
    """SYSTEM and words of the verb's own (`names` in the usage), which `take_system` tells apart; with the rest."""
    parser.usage = f"%(prog)s {names} [options]"
    parser.add_argument("words", nargs="*", metavar="SYSTEM ...", help=f"{SYSTEM}, {meaning}")
    add_state(parser)


def add_actions(parser: argparse.ArgumentParser, actions: Mapping[str, str], names: str, meaning: str) -> None:
    """ACTION, one of those, with what each is for in the help; and behind it words as `add_words` adds them."""
    width = max(map(len, actions)) + 2
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "\n".join(f"  {action:<{width}}{told}" for action, told in actions.items())
    if isinstance(parser, Words):
        parser.actions = actions
    parser.add_argument("action", choices=actions, metavar="ACTION", help=", ".join(actions))
    add_words(parser, f"ACTION {names}", meaning)


def add_state(parser: argparse.ArgumentParser) -> None:
    """`--state` and `--json`."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="where state is kept (default: .trimtab beside it)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def take_system(words: list[str], *, models: bool = False) -> tuple[str, list[str]]:
    """The word that names a system (the first or the last; `.` where none does) and the others. With `models` it may be
    a model that is served by itself."""
    for position in (0, -1):
        if words and (_is_system(words[position]) or (models and _is_model(words[position]))):
            return words[position], words[1:] if position == 0 else words[:-1]
    return ".", words


def _is_system(word: str) -> bool:
    path = Path(word)
    return path.suffix == ".toml" or (path / "trimtab.toml").is_file() or word in (".", "..")


def _is_model(word: str) -> bool:
    from trimtab.wiring.place import is_model

    return is_model(Path(word))


def add_moment(parser: argparse.ArgumentParser) -> None:
    """`--at`: act as if it were another moment."""
    parser.add_argument(
        "--at", type=moment, metavar="TIME", help="act as if it were this moment, such as 2013-06-01T00:00Z"
    )


def moment(text: str) -> datetime:
    """An ISO 8601 moment; a bare date is midnight UTC, and a time without a zone is refused."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a moment such as 2013-06-01T00:00Z") from None
    if value.tzinfo is None:
        if len(text) > len("2013-06-01"):
            raise argparse.ArgumentTypeError(f"{text!r} has no time zone: end it with Z or +00:00")
        value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC)


def moment_text(text: str) -> str:
    """The text of a moment, once it is known to be one: for what is handed on to another process."""
    moment(text)
    return text


def seconds(text: str) -> float:
    """A number of seconds above zero, or a time with its unit, such as 5min."""
    from trimtab.declaration.units import parse_duration

    try:
        value = float(text)
    except ValueError:
        try:
            value = parse_duration(text)
        except TrimtabError:
            value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above zero, nor a time such as 5min")
    return value


def count(text: str) -> int:
    """A whole number, zero or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)
