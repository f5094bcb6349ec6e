"""Rows of a frame whose columns hold files, as a model of tensors takes them; and what such a model answers about
them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.postprocess_code import load_postprocess
from trimtab.inference.tensors.model import TensorModel
from trimtab.inference.tensors.placing import Placed
from trimtab.inference.tensors.refused import InputError
from trimtab.inference.tensors.rows import RowReader, TensorRows
from trimtab.records.model import ModelBundle
from trimtab.records.tensors import TensorInput, Tensors

if TYPE_CHECKING:
    import polars as pl

    from trimtab.records.blobs import Blobs

_AT_ONCE = 32


class Decoded(NamedTuple):
    """Files as tensors: for each input an array [rows, ...], or a list with an array a row where their shapes differ;
    `places` tells how each row's picture lies on its tensor (None: it is a sound). The arrays cannot be written to."""

    arrays: tuple[NDArray[Any] | list[NDArray[Any]], ...]
    places: list[Placed | None]

    def rows(self) -> list[TensorRows]:
        """Each row by itself, without a copy."""
        return [
            TensorRows(tuple([those[row][None] for those in self.arrays]), (place,))
            for row, place in enumerate(self.places)
        ]


def decode(frame: pl.DataFrame, inputs: Sequence[TensorInput], key: Sequence[str]) -> Decoded:
    """The files in the columns called as the `inputs`. Raises PermanentError that names the row, by its `key`, for one
    that is missing or cannot be decoded."""
    reader = RowReader(Tensors(inputs=tuple(inputs), outputs=()))
    columns = [_files(frame, one.name, key) for one in inputs]
    rows: list[TensorRows] = []
    for row, files in enumerate(zip(*columns, strict=True)):
        try:
            rows += reader.decode({one.name: [file] for one, file in zip(inputs, files, strict=True)})
        except InputError as error:
            raise PermanentError(f"{_row(frame, row, key)}: {error.message}", hint=error.hint) from error
    arrays: list[NDArray[Any] | list[NDArray[Any]]] = []
    for place in range(len(inputs)):
        each = [one.arrays[place][0] for one in rows]
        whole: NDArray[Any] | list[NDArray[Any]] = np.stack(each) if len({a.shape for a in each}) == 1 else each
        for one in [whole] if isinstance(whole, np.ndarray) else whole:
            one.flags.writeable = False
        arrays.append(whole)
    return Decoded(tuple(arrays), [one.places[0] for one in rows])


def load_tensor_model(blobs: Blobs, bundle: ModelBundle, *, threads: int = 1) -> TensorModel:
    """The model of tensors whose parts lie in the blob store."""
    hook = None
    if isinstance(bundle.postprocess_code, str):
        hook = load_postprocess(blobs.get(bundle.postprocess_code), bundle.entry)
    return TensorModel(blobs.checked(bundle.onnx), bundle.signature, hook, threads=threads)


def answers(model: TensorModel, rows: Sequence[TensorRows]) -> list[dict[str, Any]]:
    """What the model answers about each row, by name."""
    found: list[dict[str, Any]] = []
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        found += model.run(part).named or [{} for _ in part]
    return found


def _files(frame: pl.DataFrame, name: str, key: Sequence[str]) -> list[bytes]:
    import polars as pl  # here: a server decodes without it

    if name not in frame.columns:
        raise PermanentError(f"input column {name!r} is missing", hint=f"found {', '.join(frame.columns)}")
    column = frame.get_column(name)
    if column.dtype != pl.Binary:
        raise PermanentError(
            f"input column {name!r} is {column.dtype}; expected the bytes of files",
            hint="a folder of images or sounds has them in `content`; another source gives a column of bytes, and "
            f'`media = ["{name}"]` in its [[data]] says so',
        )
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise PermanentError(f"input column {name!r} holds no file in the row {_row(frame, row, key)}")
    return column.to_list()


def _row(frame: pl.DataFrame, row: int, key: Sequence[str]) -> str:
    return ", ".join(f"{name} = {frame.get_column(name)[row]}" for name in key if name in frame.columns)
