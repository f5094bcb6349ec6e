"""A package served by itself: a model that was exported, run as it ran where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET

from trimtab.declaration.model_file import load_serve
from trimtab.deployment.package.contents import EXPLAINER, FEATURES, MODEL, POSTPROCESS
from trimtab.deployment.package.reading import Package
from trimtab.loop.targets.model_file import refuse_served, serve_bundle
from trimtab.records.base import Clock
from trimtab.records.blobs import Blobs
from trimtab.records.layout import Layout
from trimtab.records.model import ModelBundle
from trimtab.serving.spec import ServeSpec

SERVE = "serve.toml"


def prepare_package(
    path: Path, layout: Layout, environment: Mapping[str, str], clock: Clock, processes: int | None = None
) -> tuple[str, ServeSpec]:
    """Writes what a server needs to serve a package: the model with its code, a route to it, the settings of its
    `serve.toml`; the system's name and those settings. Raises PermanentError for a package that is not whole, or is
    being served, DeclarationError for settings that make no sense."""
    package = Package(path)
    told = package.manifest
    folder = path if path.is_dir() else path.parent
    spec = load_serve(folder / SERVE)
    refuse_served(layout, told.system)
    blobs = Blobs(layout.blobs)
    bundle = ModelBundle(
        onnx=blobs.put(package.read(MODEL)),
        signature=told.signature,
        features_code=blobs.put(package.read(FEATURES)) if package.has(FEATURES) else None,
        entry=told.entry,
        postprocess_code=blobs.put(package.read(POSTPROCESS)) if package.has(POSTPROCESS) else UNSET,
        explainer=blobs.put(package.read(EXPLAINER)) if package.has(EXPLAINER) else UNSET,
    )
    serve_bundle(layout, told.system, bundle, spec, environment, clock, processes, folder, told.identity.id)
    return told.system, spec
