"""A model of tensors that runs: one ONNX Runtime session, and what its outputs are read as."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import PermanentError
from trimtab.inference.postprocess_code import Named, PostprocessFunction, postprocess
from trimtab.inference.row_by_row import row_by_row
from trimtab.inference.session import open_session
from trimtab.inference.tensors.datatypes import DTYPES
from trimtab.inference.tensors.graph import check_graph, check_width
from trimtab.inference.tensors.placing import Placed
from trimtab.inference.tensors.readout import DETECTED, IDENTIFIED, detect, identify, read_out
from trimtab.inference.tensors.rows import Array, RowReader, TensorRows
from trimtab.records.model import Signature
from trimtab.records.tensors import Recognition, TensorInput, Tensors

_MOST_ELEMENTS = 2**22  # of one input in one run of the graph: more rows would cost memory and save nothing
_FREE = 64  # the size that a warm-up gives an axis of any size


class Outcome(NamedTuple):
    """What rows came to: `scores` FP32 [n] or [n, classes] ([n, 0] for the task `tensors`), and further outputs by
    name, one dict a row (None: there are none)."""

    scores: NDArray[np.float32]
    named: Named | None


class TensorModel:
    """A loaded model of tensors. Safe to call from several threads at once. `reader` makes its rows.

    Raises PermanentError where the graph and the signature do not agree.
    """

    def __init__(
        self, onnx: bytes | Path, signature: Signature, hook: PostprocessFunction | None = None, *, threads: int = 1
    ) -> None:
        assert isinstance(signature.tensors, Tensors)
        self.signature = signature
        self.spec = spec = signature.tensors
        self.session = open_session(onnx, threads=threads)
        self._file = onnx if isinstance(onnx, Path) else None
        check_graph(self.session, signature)
        self.reader = RowReader(spec)
        self._hook = hook
        self._inputs = [one.name for one in spec.inputs]
        self._outputs = [one.name for one in spec.outputs]
        self._score = "" if signature.task == "tensors" else signature.onnx_output
        found = spec.detections
        taken = {self._score} | (set() if found is None else {found.boxes, found.scores, found.classes})
        self._answered = [one.name for one in spec.outputs if one.answered and one.name not in taken]
        self._texts = [one.name for one in spec.outputs if one.datatype == "BYTES" and one.name in self._answered]
        self._most = 0 if spec.batch else 1  # rows of one run; 0: as many as there is memory for
        self._answered += DETECTED if found is not None else IDENTIFIED if spec.recognition else []

    def run(self, rows: Sequence[TensorRows]) -> Outcome:
        """Scores and outputs of the rows, in order. Raises PermanentError when the model or its hook fails."""
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for position, one in enumerate(rows):
            groups.setdefault(one.shapes, []).append(position)
        if len(groups) == 1:
            return self._alike(rows)
        starts = [0]
        for one in rows:
            starts.append(starts[-1] + len(one))
        parts = []
        for members in groups.values():
            places = [place for member in members for place in range(starts[member], starts[member + 1])]
            parts.append((places, self._alike([rows[member] for member in members])))
        return _in_order(parts, starts[-1])

    def cut(self, most: int) -> None:
        """From here on the graph is run on that many rows at a time. A graph from a file then walks over single rows
        by itself, where it can."""
        row = dict(zip(self._inputs, self.zeros().arrays, strict=True))
        walking = row_by_row(self._file, self.session, row) if most == 1 and self._file is not None else None
        if walking is not None:
            self.session, self._most = walking, 0
        elif self.spec.batch:
            self._most = most

    def zeros(self) -> TensorRows:
        """One row of zeros, to warm up with."""
        arrays = [
            np.zeros((1, *_warm_shape(one)), DTYPES[one.datatype] if one.datatype != "BYTES" else np.str_)
            for one in self.spec.inputs
        ]
        return TensorRows(tuple(arrays), (None,))

    def outputs(self, arrays: Iterable[Array], placed: Sequence[Placed | None]) -> dict[str, Any]:
        """What the graph gives for rows of one shape, by name, as it is read: arrays [rows, ...], and lists with a
        value a row where boxes or identities were made of them. It is what `postprocess` is given."""
        feed = dict(zip(self._inputs, arrays, strict=True))
        return self._told(self.session.run(self._outputs, feed), feed, placed)

    def _alike(self, rows: Sequence[TensorRows]) -> Outcome:
        """Rows of one shape, in as many runs of the graph as their size asks for."""
        placed = rows[0].places if len(rows) == 1 else tuple([place for one in rows for place in one.places])
        count = len(placed)
        step = self._step(rows, count)
        if step == 1 and len(rows) == count:  # nothing is to be put together
            feeds = [dict(zip(self._inputs, one.arrays, strict=True)) for one in rows]
        else:
            arrays = rows[0].arrays
            if len(rows) > 1:
                arrays = tuple([_stacked(those) for those in zip(*[one.arrays for one in rows], strict=True)])
            spans = [slice(start, start + step) for start in range(0, count, step)] if step < count else [slice(None)]
            feeds = [{name: a[span] for name, a in zip(self._inputs, arrays, strict=True)} for span in spans]
        # One run right behind the other: what is done around them would push the graph out of the processor's cache.
        runs = [self.session.run(self._outputs, feed) for feed in feeds]
        if len(runs) == 1:
            return self._outcome(self._told(runs[0], feeds[0], placed), count)
        if all(len({values.shape[1:] for values in those}) == 1 for those in zip(*runs, strict=True)):
            found = [_together(those) for those in zip(*runs, strict=True)]
            return self._outcome(self._told(found, feeds[0], placed), count)
        parts = []  # a graph may tell more of one row than of another
        for run, feed, start in zip(runs, feeds, range(0, count, step), strict=True):
            own = placed[start : start + step]
            parts.append(self._outcome(self._told(run, feed, own), len(own)))
        return _joined(parts)

    def _step(self, rows: Sequence[TensorRows], count: int) -> int:
        """Rows of one run."""
        if self._most == 1:
            return 1
        largest = max([sum([one.arrays[place].size for one in rows]) for place in range(len(self._inputs))])
        step = max(1, _MOST_ELEMENTS * count // max(1, largest))
        return min(step, self._most or step)

    def _outcome(self, outputs: dict[str, Any], n: int) -> Outcome:
        """What the outputs for `n` rows come to."""
        scores = self._scores(outputs[self._score], n) if self._score else np.empty((n, 0), np.float32)
        if not (self._answered or self._hook or self.spec.top):
            return Outcome(scores, None)
        told = outputs
        if self._texts:  # as lists: what can tell arrays of numbers cannot tell those of texts
            told = outputs | {name: outputs[name].tolist() for name in self._texts}
        named: Named = [{name: told[name][row] for name in self._answered} for row in range(n)]
        if self.spec.top:
            named = [row | self._best(scores[place]) for place, row in enumerate(named)]
        if self._hook is not None:
            made = postprocess(self._hook, outputs, n)
            named = made if not self._score else [one | two for one, two in zip(named, made, strict=True)]
        return Outcome(scores, named)

    def _told(
        self, found: Sequence[Array], feed: Mapping[str, Array], placed: Sequence[Placed | None]
    ) -> dict[str, Any]:
        """The outputs of one run, or of several together, as they are read."""
        n = len(placed)
        outputs: dict[str, Any] = {}
        for spec, values in zip(self.spec.outputs, found, strict=True):
            if values.ndim == 0 or len(values) != n:
                raise PermanentError(f"output {spec.name!r} has shape {list(values.shape)} for {n} rows")
            outputs[spec.name] = read_out(values, spec)
        made: Named = []
        if self.spec.detections is not None:
            size = self._size_of(feed[self._inputs[self.reader.picture]])
            made = detect(outputs, self.spec.detections, self.signature.classes, size, placed)
        elif isinstance(self.spec.recognition, Recognition):
            made = identify(outputs, self.spec.recognition, self.signature.classes)
        for name in made[0] if made else ():
            outputs[name] = [one[name] for one in made]
        return outputs

    def _scores(self, values: Array, n: int) -> NDArray[np.float32]:
        """The score output as the task has it. Raises PermanentError where its shape is another."""
        found = values.reshape(n, -1)
        width = found.shape[1]
        check_width(self.signature, width)
        if self.signature.task == "multiclass_classification":
            return np.ascontiguousarray(found, np.float32)
        return np.ascontiguousarray(found[:, -1], np.float32)

    def _best(self, scores: NDArray[np.float32]) -> dict[str, Any]:
        """The best classes of a row, best first."""
        order = np.argsort(-scores, kind="stable")[: self.spec.top]
        return {"top_labels": [self.signature.classes[place] for place in order], "top_scores": scores[order]}

    def _size_of(self, picture: Array) -> tuple[int, int]:
        image = self.spec.inputs[self.reader.picture].image
        high, wide = picture.shape[1:3] if image is not None and image.layout == "HWC" else picture.shape[-2:]
        return int(high), int(wide)


def _warm_shape(tensor: TensorInput) -> tuple[int, ...]:
    free = tensor.audio.rate if tensor.audio is not None else _FREE
    return tuple(free if size == -1 else size for size in tensor.shape)


def _stacked(those: Sequence[Array]) -> Array:
    """Rows below each other; they cannot be written to."""
    first = those[0]
    if first.dtype.kind == "O" or not all(one.flags.c_contiguous for one in those):
        return np.concatenate(those)
    # NumPy would let go of the interpreter's lock for each of them, and wait for it again.
    return np.frombuffer(b"".join([one.data for one in those]), first.dtype).reshape(-1, *first.shape[1:])


def _together(those: Sequence[Array]) -> Array:
    """The values of one output in several runs, as of one; as they are where it has no axis of rows."""
    return those[0] if those[0].ndim == 0 else np.concatenate(those)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcomes of rows that follow each other, as one."""
    scores = np.concatenate([one.scores for one in outcomes])
    if outcomes[0].named is None:
        return Outcome(scores, None)
    return Outcome(scores, [row for one in outcomes for row in one.named or ()])


def _in_order(parts: Sequence[tuple[Sequence[int], Outcome]], total: int) -> Outcome:
    """The outcomes of parts, each with the positions of its rows, as one."""
    first = parts[0][1]
    scores = np.empty((total, *first.scores.shape[1:]), np.float32)
    named: Named | None = None if first.named is None else [{} for _ in range(total)]
    for places, outcome in parts:
        scores[list(places)] = outcome.scores
        if named is not None and outcome.named is not None:
            for place, one in zip(places, outcome.named, strict=True):
                named[place] = one
    return Outcome(scores, named)
