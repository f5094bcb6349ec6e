"""From what a caller sends, tensors or files, to rows that are ready for the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.inference.tensors.audio import AudioDecoder
from trimtab.inference.tensors.datatypes import DTYPES, datatype_of
from trimtab.inference.tensors.images import ImageDecoder
from trimtab.inference.tensors.placing import Placed
from trimtab.inference.tensors.refused import InputError
from trimtab.records.tensors import TensorInput, Tensors

Array = NDArray[Any]
Files = Sequence[bytes | memoryview]
Given = Mapping[str, Array | Files]  # for each input a tensor [rows, ...], or one file a row


class TensorRows:
    """Rows ready for the graph, all of one shape: an array [rows, ...] for each input, in the signature's order;
    `places` tells for each row how its picture lies on the tensor (None: there is none, or it was sent as a tensor).
    `shapes` are those of a row in each input: rows of the same shapes can be run together."""

    __slots__ = ("arrays", "places", "shapes")

    def __init__(self, arrays: tuple[Array, ...], places: tuple[Placed | None, ...]) -> None:
        self.arrays = arrays
        self.places = places
        self.shapes = tuple([array.shape[1:] for array in arrays])

    def __len__(self) -> int:
        return len(self.places)


class RowReader:
    """Checks and decodes for one model. Safe to call from several threads.

    Raises PermanentError where the signature contradicts itself, or a library it needs is missing.
    """

    def __init__(self, spec: Tensors) -> None:
        self._inputs = spec.inputs
        self._decoders: dict[str, ImageDecoder | AudioDecoder] = {
            one.name: ImageDecoder(one) if one.image is not None else AudioDecoder(one)
            for one in spec.inputs
            if one.image is not None or one.audio is not None
        }
        self.picture = next((place for place, one in enumerate(spec.inputs) if one.image is not None), 0)

    def takes_files(self, name: str) -> bool:
        """Whether that input may be sent as files."""
        return name in self._decoders

    def look(self, given: Given) -> int:
        """Checks what can be seen without decoding: names, types and shapes; formats and bytes of files. Returns the
        number of rows. Raises InputError naming the input and the row."""
        names = [one.name for one in self._inputs]
        for name in given:
            if name not in names:
                raise InputError(f"unknown input {name!r}", hint=f"the model takes {', '.join(names)}")
        count = -1
        for tensor in self._inputs:
            name = tensor.name
            if name not in given:
                raise InputError(f"input {name!r} is missing", hint=f"the model takes {', '.join(names)}")
            values = given[name]
            if count not in (-1, len(values)):
                raise InputError(f"input {name!r} has {len(values)} rows; the first has {count}")
            count = len(values)
            if isinstance(values, np.ndarray):
                _check_array(tensor, values)
            elif name not in self._decoders:
                raise InputError(f"input {name!r} takes a tensor of {tensor.datatype}, not files", why="unsupported")
            else:
                for row, data in enumerate(values):
                    try:
                        self._decoders[name].look(data)
                    except InputError as error:
                        raise error.at(_place(name, row, count)) from error
        return count

    def decode(self, given: Given) -> list[TensorRows]:
        """What was sent as rows ready for the graph, in order: together where all have one shape, else one by one.
        Raises InputError naming the input and the row."""
        arrays: list[Array | list[Array]] = []
        places: tuple[Placed | None, ...] = ()
        for position, tensor in enumerate(self._inputs):
            values = given[tensor.name]
            if isinstance(values, np.ndarray):
                flags = values.flags
                if not (flags.c_contiguous and flags.aligned):
                    # The runtime wants memory that is aligned and in order: a view on a request's body may be neither.
                    values = np.require(values, DTYPES[tensor.datatype], ("C", "A"))
                arrays.append(values)
                continue
            decoded, placed = self._files(tensor.name, values)
            if position == self.picture:
                places = placed
            same = len({array.shape for array in decoded}) == 1
            arrays.append(decoded[0][None] if len(decoded) == 1 else np.stack(decoded) if same else decoded)
        count = len(arrays[0])
        places = places or (None,) * count
        whole = tuple([those for those in arrays if isinstance(those, np.ndarray)])
        if len(whole) == len(arrays):
            return [TensorRows(whole, places)]
        return [
            TensorRows(tuple([those[row][None] for those in arrays]), places[row : row + 1]) for row in range(count)
        ]

    def _files(self, name: str, files: Files) -> tuple[list[Array], tuple[Placed | None, ...]]:
        decoder = self._decoders[name]
        decoded: list[Array] = []
        places: list[Placed | None] = []
        for row, data in enumerate(files):
            try:
                if isinstance(decoder, ImageDecoder):
                    array, placed = decoder.decode(data)
                    places.append(placed)
                else:
                    array = decoder.decode(data)
            except InputError as error:
                raise error.at(_place(name, row, len(files))) from error
            decoded.append(array)
        return decoded, tuple(places)


def _check_array(tensor: TensorInput, values: Array) -> None:
    here = f"input {tensor.name!r}"
    if values.dtype != DTYPES[tensor.datatype]:
        raise InputError(f"{here}: datatype {datatype_of(values.dtype)}; expected {tensor.datatype}")
    shape = values.shape[1:]
    if len(shape) != len(tensor.shape) or any(d not in (-1, s) for s, d in zip(shape, tensor.shape, strict=True)):
        raise InputError(f"{here}: shape {list(values.shape)}; expected {[-1, *tensor.shape]} (-1: any)")
    if 0 in shape:
        raise InputError(f"{here}: shape {list(values.shape)} is empty")
    if tensor.audio is not None and shape[0] > tensor.audio.rate * tensor.audio.max_seconds:
        seconds = shape[0] / tensor.audio.rate
        raise InputError(f"{here}: {seconds:g} s of sound; at most {tensor.audio.max_seconds:g}", why="too_large")
    if tensor.image is not None:
        pixels = shape[0] * shape[1] * shape[2] // (1 if tensor.image.colors == "L" else 3)
        if pixels > tensor.image.max_pixels:
            raise InputError(f"{here}: {pixels:,} pixels; at most {tensor.image.max_pixels:,}", why="too_large")


def _place(name: str, row: int, rows: int) -> str:
    return f"row {row}, input {name!r}" if rows > 1 else f"input {name!r}"
