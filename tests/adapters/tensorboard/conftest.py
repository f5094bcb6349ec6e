"""The minimal system and the command line, for a run of the whole loop."""

from __future__ import annotations

from tests.cli.conftest import cli, fresh

__all__ = ["cli", "fresh"]
