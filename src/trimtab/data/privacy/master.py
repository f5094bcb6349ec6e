"""The master key, from outside the state folder: all other keys are kept wrapped by it."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from trimtab.data.port import DataError

_LENGTH = 32


def read_master_key(place: str, environment: Mapping[str, str] | None = None) -> bytes:
    """The 32 bytes that `place` tells of: `env:NAME` or `file:PATH`, written as 64 hexadecimal digits or in base64.

    Raises DataError where there is none, or what is there is no such key. The key itself is never told.
    """
    kind, _, name = place.partition(":")
    if kind == "env":
        text = (os.environ if environment is None else environment).get(name, "")
        if not text.strip():
            raise DataError(
                f"the master key is not set: the environment has no {name}",
                hint=f"once: `export {name}=$(openssl rand -hex 32)`, and keep it where the state folder is not",
            )
    else:
        try:
            text = Path(name).expanduser().read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"the master key in {name} cannot be read", hint="write 64 hexadecimal digits into it (openssl rand)"
            ) from error
    key = _decoded(text.strip())
    if key is None:
        raise DataError(
            f"the master key in {name} is not {_LENGTH} bytes as 64 hexadecimal digits or base64",
            hint="`openssl rand -hex 32` makes one",
        )
    return key


def _decoded(text: str) -> bytes | None:
    for read in (bytes.fromhex, lambda word: base64.b64decode(word, validate=True)):
        try:
            key = read(text)
        except (ValueError, binascii.Error):
            continue
        if len(key) == _LENGTH:
            return key
    return None
