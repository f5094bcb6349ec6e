"""Whose inputs are kept: all, a share of them, and of large ones a share of its own, decided by the prediction's id.

The same id always gives the same choice, in every process and at every time, so that a retried request, a shadow
release and a reader agree. The choice has nothing to do with the one between live and canary.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import blake3

from trimtab.records.telemetry import TelemetryPolicy
from trimtab.serving.telemetry.segments import KeptInputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST = 16
_SALT = b"trimtab inputs"


class InputSampling:
    """The declared shares. `owed` rows are kept in full until a shadow release has scored them, however the choice
    falls: what the server owes must outlive it."""

    def __init__(self, policy: TelemetryPolicy) -> None:
        self._policy = policy

    def matrix(self, ids: Sequence[str], matrix: NDArray[np.float32], *, owed: bool) -> tuple[bytes, KeptInputs | None]:
        """Of a matrix [rows, features]: what follows the meta part of their frame, and what the frame says of it."""
        policy = self._policy
        large = matrix.shape[1] * matrix.itemsize > policy.large
        share = policy.sample if large else policy.inputs
        if share >= 1.0:
            return matrix.tobytes(), None
        digests = b"".join([digest(row.tobytes()) for row in matrix]) if large else b""
        places = [place for place, name in enumerate(ids) if position(name) < share]
        data = matrix.tobytes() if owed else matrix[places].tobytes()
        return data, KeptInputs(share, array("i", places).tobytes(), owed, digests)

    def payloads(
        self,
        ids: Sequence[str],
        payloads: Sequence[bytes | memoryview],
        shapes: Sequence[str],
        *,
        owed: bool,
        digests: Sequence[bytes] | None = None,
    ) -> tuple[bytes, KeptInputs]:
        """Likewise of inputs that are no matrix: the bytes of each row, and what they are, such as
        `image UINT8[3,128,128]`; `digests` of them, where they are known already."""
        policy = self._policy
        sizes = array("q", map(len, payloads)).tobytes()
        shares = [policy.sample if len(one) > policy.large else policy.inputs for one in payloads]
        if min(shares) >= 1.0:
            return b"".join(payloads), KeptInputs(sizes=sizes, shapes=shapes)
        told = b"".join(digests or map(digest, payloads))
        places = [
            place
            for place, (name, share) in enumerate(zip(ids, shares, strict=True))
            if share >= 1.0 or position(name) < share
        ]
        data = b"".join(payloads if owed else [payloads[place] for place in places])
        mixed = array("f", shares).tobytes() if len(set(shares)) > 1 else b""
        return data, KeptInputs(shares[0], array("i", places).tobytes(), owed, told, sizes, shapes, mixed)


def position(prediction_id: str) -> float:
    """The id's place from 0 to 1, evenly spread: its inputs are kept when it is below the share."""
    hashed = blake2b(prediction_id.encode("utf-8", "surrogatepass"), digest_size=8, person=_SALT).digest()
    return int.from_bytes(hashed, "little") / 2**64


def digest(data: bytes | memoryview) -> bytes:
    """16 bytes that tell two inputs apart."""
    return blake3.blake3(data).digest(DIGEST)
