"""One cell, sealed: AES-256-GCM under its person's key, the same for the same cell of the same row.

    key   = 32 random bytes, of which blake3 derives one key to encrypt with and one to make nonces with
    nonce = the first 12 bytes of blake3(nonce key; dataset, column, key of the row, cell)
    cell  = base64(nonce ‖ AES-256-GCM(key, nonce, padded cell; dataset, column, name of the key))

The same nonce comes again only with the same cell of the same row, whose ciphertext is then the same as well: this is
what lets a row that is collected twice be the same row (a synthetic nonce, as in RFC 5297 and RFC 8452; of n different
cells of one person two meet by chance with n^2 / 2^97). Who has not the key learns nothing but that, and the length of
a cell to 16 bytes.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from typing import Any

from blake3 import blake3

from trimtab.data.port import DataError

_BLOCK = 16
_NONCE = 12


class CellCipher:
    """Seals and opens the cells of one person."""

    def __init__(self, key: bytes, about: bytes) -> None:
        """`about`: the dataset and the key's name, which a cell is bound to."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(blake3(key, derive_key_context="trimtab personal cells 1: encryption").digest())
        self._nonces = blake3(key, derive_key_context="trimtab personal cells 1: nonces").digest()
        self._about = about

    def seal(self, cell: bytes, column: str, row: bytes) -> str:
        """The cell as text; `row` tells rows apart."""
        about = self._about + _led(column.encode())
        nonce = blake3(about + _led(row) + cell, key=self._nonces).digest(_NONCE)
        padded = cell + b"\x80" + b"\0" * (-(len(cell) + 1) % _BLOCK)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, padded, about)).decode()

    def open(self, sealed: str, column: str) -> bytes:
        """What was sealed. Raises DataError for anything else."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.b64decode(sealed, validate=True)
            padded = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], self._about + _led(column.encode()))
        except (InvalidTag, ValueError) as error:
            raise DataError(
                f"a sealed cell of column {column!r} cannot be opened: it was changed",
                hint="`trimtab data verify` names what is damaged",
            ) from error
        return padded.rstrip(b"\0")[:-1]


def _led(part: bytes) -> bytes:
    return struct.pack("<I", len(part)) + part


TO_BYTES: Mapping[str, Callable[[Any], bytes]] = {
    "s": lambda cell: cell.encode("utf-8", "surrogatepass"),
    "x": bytes,
    "b": lambda cell: b"1" if cell else b"0",
    "f": lambda cell: struct.pack("<d", cell),
    **{kind: lambda cell: str(cell).encode() for kind in "iutdeo"},
}
"""How a cell of each family (see `values.digest`) is written; times, dates and durations as their number."""

FROM_BYTES: Mapping[str, Callable[[bytes], Any]] = {
    "s": lambda raw: raw.decode("utf-8", "surrogatepass"),
    "x": bytes,
    "b": lambda raw: raw == b"1",
    "f": lambda raw: struct.unpack("<d", raw)[0],
    **dict.fromkeys("iutdeo", int),
}
"""And how it is read again."""
