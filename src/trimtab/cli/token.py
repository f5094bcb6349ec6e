"""`trimtab token`: who may ask the prediction server: tokens made, listed and taken away, while it runs or not."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from trimtab.cli.arguments import UsageError, add_actions, take_system
from trimtab.cli.output import emit_json
from trimtab.cli.terminal import plain, say, show_table, styled
from trimtab.errors import DeclarationError

if TYPE_CHECKING:
    from pathlib import Path

    from trimtab.serving.access.tokens import Token

_ACTIONS = {
    "add": "NAME: make one and print it, this once; its digest alone is kept",
    "list": "who has one, for what, how often and until when",
    "revoke": "NAME: take it away; a server that runs refuses it within a second",
}
_SCOPES = "predict, feedback (tell the truth), admin (status, metrics and all that steers the server)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `token`."""
    add_actions(parser, _ACTIONS, "[SYSTEM] [NAME]", "then the name of the token")
    parser.add_argument(
        "--scope",
        action="append",
        choices=("predict", "feedback", "admin"),
        metavar="SCOPE",
        help=f"what it may do; give it once for each of: {_SCOPES} (default: predict)",
    )
    parser.add_argument("--rate", type=_rate, metavar="N/s", help="the most requests, such as 100/s or 6000/min")
    parser.add_argument("--rows", type=_rate, metavar="N/s", help="the most rows, such as 5000/s")
    parser.add_argument("--expires", type=_duration, metavar="TIME", help="when it ends, counted from now: 90d, 12h")


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    from trimtab.records.layout import Layout
    from trimtab.wiring.place import place_of

    system, words = take_system(args.words, models=True)
    path = Layout(place_of(system, args.state)).tokens
    if args.action == "list":
        if words:
            raise UsageError("write `trimtab token list [SYSTEM]`")
        return _list(path, args)
    if len(words) != 1:
        raise UsageError(f"write `trimtab token {args.action} [SYSTEM] NAME`")
    return _add(path, words[0], args) if args.action == "add" else _revoke(path, words[0], args)


def _add(path: Path, name: str, args: argparse.Namespace) -> int:
    from trimtab.serving.access.tokens import add_token

    now = datetime.now(UTC)
    expires = None if args.expires is None else now + timedelta(seconds=args.expires)
    token, made = add_token(
        path, name, args.scope or ["predict"], now, expires=expires, requests=args.rate, rows=args.rows
    )
    if args.json:
        emit_json({"token": token} | _told(made))
        return 0
    say(token)
    say(f"{styled(name, 'bold')} may {_may(made)}. Keep the token now: it is not shown again.", indent=2)
    return 0


def _list(path: Path, args: argparse.Namespace) -> int:
    from trimtab.serving.access.tokens import read_tokens

    tokens = read_tokens(path)
    if args.json:
        emit_json([_told(one) for one in tokens])
        return 0
    if not tokens:
        closed = "every one was revoked, and nobody new may ask until `trimtab token add NAME`"
        say(f"there is no token: {closed if path.exists() else '`trimtab token add NAME` makes one'}")
        return 0
    now = datetime.now(UTC)
    rows = [
        [
            plain(one.name),
            ", ".join(one.scopes),
            _per_second(one.requests),
            _per_second(one.rows),
            f"{one.created:%Y-%m-%d}",
            "never" if one.expires is None else "expired" if one.expired(now) else f"{one.expires:%Y-%m-%d %H:%M}",
        ]
        for one in tokens
    ]
    show_table("", ("token", "may", "requests", "rows", "made", "ends"), rows)
    return 0


def _revoke(path: Path, name: str, args: argparse.Namespace) -> int:
    from trimtab.serving.access.tokens import revoke_token

    gone = revoke_token(path, name)
    if args.json:
        emit_json(_told(gone))
    else:
        say(f"{styled(name, 'bold')} is no longer taken")
    return 0


def _told(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "scopes": token.scopes,
        "requests_per_second": token.requests,
        "rows_per_second": token.rows,
        "created": token.created,
        "expires": token.expires,
    }


def _may(token: Token) -> str:
    told = " and ".join(token.scopes)
    for rate, what in ((token.requests, "requests"), (token.rows, "rows")):
        told += f", {_per_second(rate).removesuffix('/s')} {what} a second" if rate is not None else ""
    return told + (f", until {token.expires:%Y-%m-%d %H:%M} UTC" if token.expires is not None else "")


def _per_second(rate: float | None) -> str:
    return "any" if rate is None else f"{rate:.6g}/s"


def _rate(text: str) -> float:
    from trimtab.declaration.units import parse_quantity

    try:
        rate = parse_quantity(text, "rate")[0]
    except DeclarationError as error:
        raise argparse.ArgumentTypeError(error.in_one_line()) from None
    if not 0 < rate <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: a rate lies above 0 and is at most 1,000,000/s")
    return rate


def _duration(text: str) -> float:
    from trimtab.declaration.units import parse_duration

    try:
        seconds = parse_duration(text)
    except DeclarationError as error:
        raise argparse.ArgumentTypeError(error.in_one_line()) from None
    if not 0 < seconds <= 100 * 365 * 86_400:
        raise argparse.ArgumentTypeError(f"{text!r}: a token ends after now and within a hundred years")
    return seconds
