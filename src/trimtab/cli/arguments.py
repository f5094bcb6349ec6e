"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path


def add_system(parser: argparse.ArgumentParser) -> None:
    """SYSTEM, `--state` and `--json`."""
    parser.add_argument(
        "system", nargs="?", default=".", metavar="SYSTEM", help="a trimtab.toml or the folder that holds it (default: .)"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="where state is kept (default: .trimtab beside it)")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


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
