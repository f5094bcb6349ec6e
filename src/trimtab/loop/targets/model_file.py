"""A model file served by itself: its signature from the graph and what is declared beside it, and a route to it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from trimtab.declaration.model_file import ModelFile, load_model_file
from trimtab.declaration.tables.tensor_inputs import DeclaredInput
from trimtab.deployment.local import LocalServer
from trimtab.deployment.routes_file import RoutesFile
from trimtab.errors import DeclarationError, PermanentError
from trimtab.inference.session import open_session
from trimtab.inference.tensors.graph import check_graph, describe_graph
from trimtab.inference.tensors.rows import RowReader
from trimtab.records.base import Clock
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.model import ModelBundle, Route, Routes, Signature
from trimtab.records.server import ServerConfig
from trimtab.records.tensors import AudioInput, ImageInput, TensorInput, Tensors
from trimtab.serving.config import server_config, write_config
from trimtab.serving.spec import ServeSpec

SUFFIX = ".onnx"


def place_of_model(path: Path, state: Path | None) -> Layout:
    """Where the state of a model file lies: a hidden folder beside it, unless another is named."""
    return Layout(state if state is not None else path.parent / f".{path.stem}.trimtab")


def prepare_model(
    path: Path, layout: Layout, environment: Mapping[str, str], clock: Clock, processes: int | None = None
) -> ModelFile:
    """Writes what a server needs to serve a model file: the model, a route to it, the settings. A model that is routed
    already is left alone; another takes its place. Raises DeclarationError for what is declared of it and does not fit
    its graph, PermanentError for a file that is no model, or is being served."""
    try:
        onnx = path.read_bytes()
    except FileNotFoundError as error:
        hint = "name an ONNX file, or the folder that holds a trimtab.toml"
        raise DeclarationError("there is no such model file", path=path, hint=hint) from error
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror or error}") from error
    beside = path.with_suffix(".toml")
    declared = load_model_file(beside, _name(path))
    try:
        signature = signature_of(onnx, declared)
    except PermanentError as error:
        raise DeclarationError(error.message, path=beside if beside.exists() else path, hint=error.hint) from error
    refuse_served(layout, declared.name)
    blobs = Blobs(layout.blobs)
    hook: str | Any = UNSET
    if declared.postprocess:
        hook = blobs.put(_zip_of(path.parent / declared.postprocess))
    entry = Path(declared.postprocess).stem
    bundle = ModelBundle(onnx=blobs.put(onnx), signature=signature, postprocess_code=hook, entry=entry)
    serve_bundle(layout, declared.name, bundle, declared.serve, environment, clock, processes, path.parent)
    return declared


def refuse_served(layout: Layout, system: str) -> None:
    """Raises PermanentError where a server serves from that state."""
    server = LocalServer(layout.root, ServerConfig(system=system))
    if server.pid is not None:
        raise PermanentError(f"a server (process {server.pid}) already serves this model at {server.url}")


def serve_bundle(  # noqa: PLR0917 - what a server is told, in order
    layout: Layout,
    system: str,
    bundle: ModelBundle,
    spec: ServeSpec,
    environment: Mapping[str, str],
    clock: Clock,
    processes: int | None,
    folder: Path,
    model: str = "",
) -> None:
    """Write the route to one model whose parts are in the blobs, and the settings of a server for it; relative paths in
    these begin at `folder`. `model` is its identity, where it has one."""
    _route(layout, system, bundle, clock.now(), model or f"m-{bundle.onnx[:12]}")
    spec = spec if processes is None else msgspec.structs.replace(spec, processes=processes)
    config = server_config(spec, system, environment, layout.tokens, folder)
    layout.serve.mkdir(parents=True, exist_ok=True)
    write_config(layout.serve_config, config)


def signature_of(onnx: bytes, declared: ModelFile) -> Signature:
    """What a graph says of itself, completed by what is declared. Raises PermanentError where the two do not fit."""
    session = open_session(onnx)
    graph = describe_graph(session)
    for kind, given, there in (("input", declared.inputs, graph.inputs), ("output", declared.outputs, graph.outputs)):
        names = [one.name for one in there]
        for one in given:
            if one.name not in names:
                raise PermanentError(f"the graph has no {kind} {one.name!r}", hint=f"it has {', '.join(names)}")
    own = {one.name: one for one in declared.inputs}
    inputs = tuple(_completed(one, own[one.name]) if one.name in own else one for one in graph.inputs)
    told = {one.name: one for one in declared.outputs}
    outputs = tuple(
        msgspec.structs.replace(
            one,
            apply=told[one.name].apply,
            threshold=told[one.name].threshold,
            answered=told[one.name].answered,
        )
        if one.name in told
        else one
        for one in graph.outputs
    )
    score = declared.score
    if declared.task != "tensors" and not score:
        if len(outputs) > 1:
            listed = ", ".join(one.name for one in outputs)
            raise PermanentError("the graph has several outputs", hint=f"name the score: one of {listed}")
        score = outputs[0].name
    tensors = Tensors(
        inputs=inputs, outputs=outputs, batch=graph.batch, top=declared.top, detections=declared.detections
    )
    signature = Signature(
        task=declared.task,
        inputs=(),
        features=(),
        classes=declared.classes,
        threshold=declared.threshold,
        onnx_output=score or "scores",
        tensors=tensors,
    )
    check_graph(session, signature)
    RowReader(tensors)  # what contradicts itself is better told here than by a server
    return signature


def _completed(found: TensorInput, declared: DeclaredInput) -> TensorInput:
    made = found if declared.shape is None else msgspec.structs.replace(found, shape=declared.shape)
    if declared.audio is not None:
        return msgspec.structs.replace(made, audio=AudioInput(**declared.audio))
    if declared.image is None:
        return made
    image = dict(declared.image)
    shape = made.shape
    if len(shape) != 3:
        raise PermanentError(f"input {found.name!r} has shape {list(shape)}, and an image has three axes")
    layout = image.setdefault("layout", "HWC" if shape[2] in (1, 3) and shape[0] not in (1, 3) else "CHW")
    channels = shape[0] if layout == "CHW" else shape[2]
    image.setdefault("colors", "L" if channels == 1 else "RGB")
    sides = shape[1:] if layout == "CHW" else shape[:2]
    if -1 not in sides:
        image.setdefault("size", sides)
    if "size" in image:  # what the graph leaves free is fixed by it
        channels = 1 if image["colors"] == "L" else 3
        fixed = (channels, *image["size"]) if layout == "CHW" else (*image["size"], channels)
        if all(theirs in (-1, ours) for theirs, ours in zip(shape, fixed, strict=True)):
            made = msgspec.structs.replace(made, shape=fixed)
    return msgspec.structs.replace(made, image=ImageInput(**image))


def _route(layout: Layout, system: str, bundle: ModelBundle, now: datetime, model: str) -> None:
    generation = 0
    if layout.routes.exists():
        try:
            former = msgspec.json.decode(layout.routes.read_bytes(), type=Routes)
        except msgspec.MsgspecError as error:
            raise PermanentError(f"{layout.routes} cannot be read: {error}", hint=f"remove {layout.root}") from error
        if former.system == system and len(former.routes) == 1 and former.routes[0].bundle == bundle:
            return
        generation = former.generation
    route = Route(release=f"r-{generation + 1}", model=model, bundle=bundle, stage="live")
    routes = Routes(generation=generation + 1, system=system, routes=(route,), written=now)
    RoutesFile(layout.root).apply(routes)


def _zip_of(path: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(path.name, date_time=(1980, 1, 1, 0, 0, 0)), path.read_bytes())
    return out.getvalue()


def _name(path: Path) -> str:
    """A system's name from that of a file: letters, digits, `-` and `_`, a letter first."""
    text = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in path.stem)[:64]
    return text if text[:1].isalpha() else f"model-{text}"[:64]
