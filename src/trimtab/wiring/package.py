"""Everything that goes with a model when it leaves, gathered from where it lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from trimtab.deployment.package import libraries, running
from trimtab.deployment.package.contents import (
    EXPLAINER,
    FEATURES,
    MANIFEST,
    MODEL,
    POSTPROCESS,
    SIGNATURE,
    DataColumn,
    DataReference,
    LibraryLicence,
    Manifest,
)
from trimtab.experiments.trainings import find_training
from trimtab.version import __version__

if TYPE_CHECKING:
    from trimtab.records.facts import ModelTrained
    from trimtab.records.journal import Entry
    from trimtab.wiring.place import Place

_RUNNING = ("numpy", "onnxruntime")
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


def data_of(place: Place, fact: ModelTrained) -> tuple[DataReference, ...]:
    """The datasets that a model comes from, the one that it learned from first; nobody's password is among it."""
    from trimtab.data.privacy.sealing import sealed_columns

    found = []
    personal = {name for spec in place.system.data for name in sealed_columns(spec)}
    feeding = {view.source for view in place.system.features}
    for spec in sorted(place.system.data, key=lambda spec: spec.name != fact.dataset):
        used = spec.name == fact.dataset
        if not used and spec.name not in feeding:
            continue
        inputs = fact.bundle.signature.inputs if used else ()
        found.append(
            DataReference(
                dataset=spec.name,
                source=_CREDENTIALS.sub("//", spec.source),
                version=fact.dataset_version if used else "",
                licence=spec.licence,
                used=used,
                key=spec.key,
                time=spec.time,
                label=spec.label,
                rows=fact.rows if used else 0,
                start=fact.train_from if used else None,
                end=fact.valid_to if used else None,
                columns=tuple(DataColumn(name=c.name, kind=c.kind, personal=c.name in personal) for c in inputs),
            )
        )
    return tuple(found)


def files_of(place: Place, entry: Entry[ModelTrained], documents: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a model's package, by their paths. `documents` are the ones made elsewhere, such as its card.
    Raises PermanentError where a part of the model is missing."""
    fact, blobs = entry.fact, place.blobs
    bundle = fact.bundle
    signature = bundle.signature
    card = place.system.card
    licence = card.licence if card is not None else ""
    training = find_training(blobs, fact.identity.id)
    ran_on = training.environment if training is not None else None
    locked = libraries.closure(fact.libraries, ran_on.libraries if ran_on is not None else None)
    run = {name: fact.libraries.get(name) or metadata.version(name) for name in _RUNNING}
    told = libraries.licences({**locked, **run})
    data = data_of(place, fact)
    files = {
        MODEL: blobs.get(bundle.onnx),
        SIGNATURE: _pretty(signature),
        "params.json": _pretty(fact.params),
        "data.json": _pretty(data),
        "requirements.txt": libraries.pins(run),
        "requirements-train.txt": f"# python {fact.libraries.get('python', '?')}\n".encode() + libraries.pins(locked),
        "LICENCES.md": _licences(licence, data, told).encode(),
        **{f"code/{path}": blobs.get(digest) for path, digest in fact.code_files.items()},
        **documents,
    }
    if ran_on is not None:
        files["environment.json"] = _pretty(ran_on)
    for path, digest in (
        (FEATURES, bundle.features_code),
        (POSTPROCESS, bundle.postprocess_code),
        (EXPLAINER, bundle.explainer),
    ):
        if isinstance(digest, str):
            files[path] = blobs.get(digest)
    files["README.md"] = running.readme(
        f"{place.system.name} {fact.identity.id[:10]}",
        place.system.name,
        place.system.problem,
        signature,
        bundle.entry,
        there=files.keys(),
        script=running.from_features(signature, _typical(fact, files.get(EXPLAINER))),
    ).encode()
    manifest = Manifest(
        trimtab=__version__,
        system=place.system.name,
        problem=place.system.problem,
        identity=fact.identity,
        trained=entry.at,
        signature=signature,
        entry=bundle.entry,
        params=fact.params,
        metrics=fact.metrics,
        libraries=fact.libraries,
        data=data,
        licence=licence,
        licences=told,
        files=tuple(sorted({*files, MANIFEST})),
    )
    return {**files, MANIFEST: _pretty(manifest)}


def held(place: Place, fact: ModelTrained) -> str:
    """What of people the model itself holds, in words; empty where it holds nothing that is declared personal."""
    from trimtab.data.privacy.sealing import sealed_columns

    spec = place.system.labelled
    if fact.bundle.signature.classes and spec.label in sealed_columns(spec):
        return f"the model's classes are of the personal column {spec.label!r}: whoever has the model can read them"
    return ""


def _typical(fact: ModelTrained, explainer: bytes | None) -> dict[str, float]:
    """A usual value of each number, the median of the training rows; none where the rows are of people."""
    if explainer is None or isinstance(fact.personal, tuple):
        return {}
    from trimtab.inference.explain.kept import array_of, decode_explainer

    cells = array_of(decode_explainer(explainer).baseline, "f4").tolist()
    return {feature.name: cell for feature, cell in zip(fact.bundle.signature.features, cells, strict=True)}


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _licences(model: str, data: tuple[DataReference, ...], told: tuple[LibraryLicence, ...]) -> str:
    unknown = "not declared"
    lines = [
        "# Licences\n",
        "What is declared, and what the libraries' own metadata say. It is no legal advice.\n",
        "| what | licence |\n| --- | --- |",
        f"| the model and its code | {model or unknown} |",
        *(f"| the dataset `{one.dataset}` | {one.licence or unknown} |" for one in data),
        "\n## Libraries\n",
        "None of them is in this folder: `requirements.txt` and `requirements-train.txt` install them.\n",
        "| library | version | licence |\n| --- | --- | --- |",
        *(
            f"| {one.name} | {one.version} | {one.licence or 'not told'}{f' ({one.note})' if one.note else ''} |"
            for one in told
        ),
    ]
    return "\n".join(lines) + "\n"
