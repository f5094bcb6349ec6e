"""Releases that are loaded and ready to score, and the fleet of them that one generation of routes puts in force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from struct import Struct
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from trimtab.errors import PermanentError, TrimtabError
from trimtab.inference.columns import ColumnEncoder
from trimtab.inference.encode import RowEncoder, encode_frame, frame_of_rows
from trimtab.inference.explain.explainer import Explainer
from trimtab.inference.explain.kept import decode_explainer
from trimtab.inference.features_code import derive, load_features
from trimtab.inference.model import load_model
from trimtab.inference.offset import shifted
from trimtab.inference.postprocess_code import load_postprocess, postprocess
from trimtab.inference.tensors.model import Outcome
from trimtab.inference.user_code import is_failure
from trimtab.records.base import canonical_json
from trimtab.records.model import ColumnKind, Feature, Route, Routes, Signature
from trimtab.records.tensors import Tensors
from trimtab.serving.routing.naming import ReleaseName, Words
from trimtab.serving.routing.profile import Profile, measure
from trimtab.serving.routing.rows_error import RowsError, blame_cells, no_score
from trimtab.serving.routing.shares import Shares
from trimtab.serving.routing.tensor_core import TensorCore

if TYPE_CHECKING:
    from trimtab.records.blobs import Blobs

ENCODED = "input"  # the name of a tensor of encoded rows, unless a column has it
_MOST_OFFSET = 20.0
_LOG = logging.getLogger("trimtab.serving")
_SAMPLE: dict[ColumnKind, Any] = {"number": 0.0, "category": "", "boolean": False, "time": "2000-01-01T00:00:00+00:00"}


class Release(ReleaseName):
    """One loaded release. `matrix` and `answer` may be called from any thread. `tensors` is its core where it is a
    model of tensors: its rows are not columns then, and its `width` is 0.

    `key` tells which releases share one encoding of rows; `width` is the number of features of an encoded row, which
    `pack_row` makes bytes of; `outputs` is how many scores a row has, `shown` how many are answered (1: the best of
    many); `hides_encoded` is true when a column has the name of the encoded tensor; `labels` are the decisions as
    JSON (empty for regression).
    """

    def __init__(self, system: str, route: Route, core: AnyCore, offset: float = 0.0) -> None:
        """`offset` is added to the log odds of its answers; only a binary classifier's can be."""
        decided = label_type(core.signature) if core.labels else ""
        words = Words(system, route.release, route.model, decided, core.outputs, core.shown, tuple(core.named))
        super().__init__(words)
        self.bundle = route.bundle
        self.stage = route.stage
        self.weight = route.weight
        self.core = core
        self.key = core.key
        self.width = core.width
        self.pack_row = Struct(f"{core.width}f").pack
        self.signature = core.signature
        self.labels = core.labels
        self.encoder = core.encoder
        self.column_encoder = core.column_encoder
        self.hides_encoded = core.hides_encoded
        self.tensors = core if isinstance(core, TensorCore) else None
        self.matrix: Callable[[Sequence[Any]], Any] = core.matrix
        self.offset = offset if isinstance(core, Core) and core.shiftable else 0.0
        self.answer: Callable[[Any], Outcome] = core.answer
        if self.offset and isinstance(core, Core):
            self.answer = partial(core.answer, offset=self.offset)
        self.decisions = core.decisions
        self._name: ReleaseName | None = None

    def by_name(self) -> ReleaseName:
        if self._name is None:
            self._name = ReleaseName(self.words)
        return self._name


class Core:
    """What a bundle becomes in memory, warmed up; releases of the same bundle share it. `profile` is how long it takes,
    `own_code` whether functions of the user's are part of it, `explained` whether its answers can be explained."""

    def __init__(self, route: Route, blobs: Blobs) -> None:
        bundle = route.bundle
        self.signature: Signature = bundle.signature
        self.width = len(self.signature.features)
        encoding = (bundle.features_code, self.signature.inputs, self.signature.features)
        self.key = blake2b(canonical_json(encoding), digest_size=8).hexdigest()
        self._model = load_model(blobs, bundle)
        self.encoder: RowEncoder | None = None
        self.column_encoder: ColumnEncoder | None = None
        self._function = None
        if bundle.features_code is None:
            self.encoder = RowEncoder(self.signature)
            self.column_encoder = ColumnEncoder(self.signature)
        else:
            self._function = load_features(blobs.get(bundle.features_code), bundle.entry)
        self._hook = None
        if isinstance(bundle.postprocess_code, str):
            self._hook = load_postprocess(blobs.get(bundle.postprocess_code), bundle.entry)
        self.named: dict[str, Any] = {}
        self.labels = _labels(self.signature)
        self.hides_encoded = any(column.name == ENCODED for column in self.signature.inputs)
        self.outputs = len(self.signature.classes) if self.signature.task == "multiclass_classification" else 1
        self.shown = self.outputs
        self.own_code = self._function is not None or self._hook is not None
        self.explained = isinstance(bundle.explainer, str)
        self.shiftable = self.signature.task == "binary_classification"
        self._blobs = blobs
        self._bundle = bundle
        self._explainer: Explainer | None = None
        self._once = Lock()
        self.profile = self._warm_up(route.release)

    @property
    def explainer_loaded(self) -> bool:
        """Whether `explainer` has been asked for before, and will not take long."""
        return self._explainer is not None

    def explainer(self) -> Explainer:
        """What explains its answers. The first call reads it from the store: make it in a thread. Raises PermanentError
        where nothing was kept, or it cannot be read."""
        with self._once:
            if self._explainer is None:
                if not isinstance(self._bundle.explainer, str):
                    raise PermanentError("nothing was kept that explains the model's answers")
                kept = decode_explainer(self._blobs.get(self._bundle.explainer))
                explainer = Explainer(kept, self._model)
                explainer.seconds_a_row()
                self._explainer = explainer
            return self._explainer

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """The rows [n, width], C-contiguous. Raises RowsError for what the caller must mend, PermanentError when the
        model's own code fails."""
        if self.encoder is not None:
            try:
                return self.encoder.matrix(rows)
            except PermanentError as error:
                raise RowsError(error) from error
        try:
            frame = frame_of_rows(rows, self.signature)
        except PermanentError as error:
            raise RowsError(error) from error
        return encode_frame(derive(self._function, frame, self.signature.inputs), self.signature)

    def scores(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores [n] or [n, classes]. Raises PermanentError when the model fails or gives what is not a number,
        RowsError where it does so for a number that is beyond its own."""
        try:
            scores = self._model.scores(matrix)
        except Exception as error:  # the runtime's errors share no root
            raise PermanentError(f"the model failed: {str(error).splitlines()[0]}") from error
        expected = (len(matrix),) if self.outputs == 1 else (len(matrix), self.outputs)
        if scores.shape != expected:
            raise PermanentError(f"the model gave scores of shape {scores.shape}; expected {expected}")
        if b"\0" in np.isfinite(scores).tobytes():  # in half the time that `all` takes
            row = int(np.flatnonzero(~np.isfinite(scores.reshape(len(matrix), -1)).all(axis=1))[0])
            cells = {
                feature.name: float(cell) for feature, cell in zip(self.signature.features, matrix[row], strict=True)
            }
            if self._function is None:
                blame_cells(row, cells, missing=True)
            raise no_score(scores[row], row, cells)
        return scores

    def answer(self, matrix: NDArray[np.float32], offset: float = 0.0) -> Outcome:
        """Scores, with `offset` added to their log odds, and what the user's `postprocess(outputs)` makes of them.
        Raises as `scores` does, and when the user's code fails."""
        scores = shifted(self.scores(matrix), offset)
        if self._hook is None:
            return Outcome(scores, None)
        return Outcome(scores, postprocess(self._hook, {self.signature.onnx_output: scores}, len(scores)))

    def decisions(self, scores: NDArray[np.float32]) -> NDArray[np.intp] | NDArray[np.bool_]:
        """Positions in `labels` of what is decided for each row."""
        if self.signature.task == "binary_classification":
            return scores >= self.signature.threshold
        best: NDArray[np.intp] = scores.argmax(axis=1)
        return best

    def probe(self, rows: int = 1) -> None:
        """Scores rows that nobody asked about. Raises what the model or the user's code raises."""
        if self._sampled:
            outcome = self.answer(self.matrix([self._sample] * rows))
            self.named = outcome.named[0] if outcome.named else {}
        else:
            self._model.scores(np.zeros((rows, self.width), np.float32))

    def _warm_up(self, release: str) -> Profile:
        """Everything that the first answers would wait for is done here. Raises PermanentError for a model that cannot
        be run; the user's own code may refuse rows that are made up."""
        self._sample = {
            column.name: next((f.vocabulary[0] for f in self.signature.features if _is(f, column.name)), None)
            or _SAMPLE[column.kind]
            for column in self.signature.inputs
        }
        self._sampled = self.own_code
        if self.own_code:
            try:
                self.probe()
            except Exception as error:  # a row of zeros may be one that it has never seen
                self._sampled = False
                _LOG.warning("%s: its features() is not warmed up, it refuses a made-up row: %s", release, error)
        try:
            return measure(self.probe, whole=self._sampled or not self.own_code, cut=self._model.cut)
        except Exception as error:  # the runtime's errors share no root
            raise PermanentError(f"the model cannot be run: {str(error).splitlines()[0]}") from error


AnyCore = Core | TensorCore


class Fleet:
    """The releases of one generation, ready. `live` is None only in an empty fleet. `canary_by` names the column whose
    values share out the traffic, empty where prediction ids do."""

    def __init__(self, generation: int, releases: tuple[Release, ...], canary_by: str = "") -> None:
        self.generation = generation
        self.canary_by = canary_by
        self.releases = releases
        self.live = next((one for one in releases if one.stage == "live"), None)
        self.canaries = tuple(one for one in releases if one.stage == "canary")
        self.shadows = tuple(one for one in releases if one.stage == "shadow")
        self.shares = Shares(tuple(one.weight for one in self.canaries))

    def pinned(self, model: str) -> Release | None:
        """The live or canary release of that model."""
        return next((one for one in self.releases if one.stage != "shadow" and model in (one.model, one.release)), None)


def load_fleet(routes: Routes, blobs: Blobs, former: Fleet) -> Fleet:
    """Loads every route, reusing what `former` has of the same bundle. Raises TrimtabError naming the release that
    cannot be loaded, or what is wrong with the routes."""
    check_routes(routes)
    held = {one.bundle: one.core for one in former.releases}
    loaded = []
    for route in routes.routes:
        try:
            core = held.get(route.bundle) or load_core(route, blobs)
        except TrimtabError as error:
            raise PermanentError(f"release {route.release}: {error.message}", hint=error.hint) from error
        except BaseException as error:  # a bundle can be wrong in ways nobody foresaw; the server must go on
            if not is_failure(error):
                raise
            raise PermanentError(f"release {route.release}: {type(error).__name__}: {error}") from error
        held[route.bundle] = core
        loaded.append(Release(routes.system, route, core, routes.offset))
    return Fleet(routes.generation, tuple(loaded), routes.canary_by)


def load_core(route: Route, blobs: Blobs) -> AnyCore:
    """A bundle as it runs, warmed up. Raises PermanentError for one that cannot be."""
    return TensorCore(route, blobs) if isinstance(route.bundle.signature.tensors, Tensors) else Core(route, blobs)


def check_routes(routes: Routes) -> None:
    """Raises PermanentError unless no route is there, or exactly one is live, weights are shares, names are unique."""
    if not routes.routes:
        return
    live = [route.release for route in routes.routes if route.stage == "live"]
    if len(live) != 1:
        raise PermanentError(f"{len(live)} releases are live; expected exactly one")
    names = [route.release for route in routes.routes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PermanentError(f"release {twice} is routed twice")
    for route in routes.routes:
        kinds = {column.name: column.kind for column in route.bundle.signature.inputs}
        if routes.canary_by and kinds.get(routes.canary_by, "time") == "time":
            raise PermanentError(
                f"release {route.release} has no input column {routes.canary_by!r} to share out the traffic by",
                hint="see canary_by in [policy]: a number, a category or a boolean",
            )
    if not abs(routes.offset) <= _MOST_OFFSET:
        raise PermanentError(f"answers cannot be shifted by {routes.offset:g} in log odds")
    weights = [route.weight for route in routes.routes if route.stage == "canary"]
    if any(not 0.0 <= weight <= 1.0 for weight in weights) or sum(weights) > 1.0 + 1e-9:
        raise PermanentError(f"canary weights {weights} are not shares of the traffic")


def _is(feature: Feature, column: str) -> bool:
    return feature.name == column and bool(feature.vocabulary)


def _labels(signature: Signature) -> tuple[bytes, ...]:
    if signature.task == "regression":
        return ()
    if signature.classes:
        return tuple(orjson.dumps(name) for name in signature.classes)
    return (b"0", b"1")


def label_type(signature: Signature) -> str:
    """The datatype of a decision in the Open Inference Protocol."""
    return "BYTES" if signature.classes else "INT64"
