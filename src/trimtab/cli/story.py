"""What the loop does, told as it does it: one line when an action begins, one for what it came to."""

from __future__ import annotations

import sys

from trimtab.cli.terminal import plain, say, styled

STYLES = {"done": "green", "refused": "yellow", "failed": "bold red"}


def tell(verb: str, text: str) -> None:
    """Print one line, at once."""
    word = styled(f"{verb:<9}", STYLES[verb]) if verb in STYLES else f"{verb:<9}"
    say(f"{word} {plain(text)}", indent=10)
    sys.stdout.flush()
