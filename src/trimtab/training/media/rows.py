"""What the user's `train(train, valid, params)` is given where rows are images or sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trimtab.inference.media_rows import Decoded, decode
from trimtab.measures.metrics.answered.segmentation import stretched
from trimtab.records.tensors import MediaModel


@dataclass(frozen=True)
class MediaRows:
    """Rows to learn from or to validate on.

    `x` holds the files as tensors, as a server decodes them: an array [rows, ...], or a list with an array a row where
    their sizes differ; with several inputs `inputs` has each by its name. They cannot be written to. `y` is a list with
    the truth of each row: a name or a text; for boxes `corners` [m, 4] from 0 to 1 of the picture's sides and `labels`;
    for masks class numbers [h, w] (255: of no class), brought to the tensor's height and width. `classes` are those
    declared. `frame` holds the other columns (Polars), `time` the moments of prediction. `seen` and `checkpoints` are
    as in `Rows`.
    """

    decoded: Decoded
    truths: list[Any]
    media: MediaModel
    frame: pl.DataFrame
    time: pl.Series
    seen: bool = False
    checkpoints: str = ""

    def __len__(self) -> int:
        return len(self.truths)

    @property
    def x(self) -> NDArray[Any] | list[NDArray[Any]]:
        return self.decoded.arrays[0]

    @property
    def inputs(self) -> dict[str, NDArray[Any] | list[NDArray[Any]]]:
        return {one.name: those for one, those in zip(self.media.inputs, self.decoded.arrays, strict=True)}

    @property
    def classes(self) -> tuple[str, ...]:
        return self.media.classes

    @property
    def y(self) -> list[Any]:
        if not self.truths or not isinstance(self.truths[0], np.ndarray):
            return list(self.truths)
        return [stretched(mask, _sides(self, row)) for row, mask in enumerate(self.truths)]


def media_rows(
    frame: pl.DataFrame,
    truths: list[Any],
    media: MediaModel,
    *,
    time: pl.Series,
    own: Sequence[str],
    key: Sequence[str],
    checkpoints: str,
) -> MediaRows:
    """Rows with their files decoded; `own` are the columns that no model may see."""
    named = [one.name for one in media.inputs]
    others = [name for name in frame.columns if name not in {*own, *named} and not name.startswith("_")]
    plain = frame.select(name for name in others if frame.schema[name] != pl.Binary)
    return MediaRows(decode(frame, media.inputs, key), truths, media, plain, time, checkpoints=checkpoints)


def together(first: MediaRows, then: MediaRows) -> MediaRows:
    """Both, one after the other; nothing is decoded again."""
    arrays = tuple(_joined(one, other) for one, other in zip(first.decoded.arrays, then.decoded.arrays, strict=True))
    return MediaRows(
        Decoded(arrays, [*first.decoded.places, *then.decoded.places]),
        [*first.truths, *then.truths],
        first.media,
        pl.concat([first.frame, then.frame]),
        pl.concat([first.time, then.time]),
        checkpoints=first.checkpoints,
    )


def _joined(
    one: NDArray[Any] | list[NDArray[Any]], other: NDArray[Any] | list[NDArray[Any]]
) -> NDArray[Any] | list[NDArray[Any]]:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.shape[1:] == other.shape[1:]:
        joined = np.concatenate([one, other])
        joined.flags.writeable = False
        return joined
    return [*one, *other]


def _sides(rows: MediaRows, row: int) -> tuple[int, int]:
    shape = rows.x[row].shape
    image = rows.media.inputs[0].image
    high, wide = shape[:2] if image is not None and image.layout == "HWC" else shape[-2:]
    return int(high), int(wide)
