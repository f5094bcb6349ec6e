"""Model = code + hyper-parameters + data: the three digests, and the hash of the three."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from blake3 import blake3

from trimtab.errors import DeclarationError
from trimtab.records.base import canonical_json
from trimtab.records.model import ModelIdentity
from trimtab.training.code import syntax
from trimtab.training.code.reach import Follower, Module, Reached

# Grows when Trimtab itself would make another model of the same code, parameters and data.
TRAINING_VERSION = 1

ENTRY_FUNCTIONS = ("train", "features", "postprocess")
_ALWAYS = ("numpy", "polars")
_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "skimage": ("scikit-image",),
    "PIL": ("pillow",),
    "cv2": ("opencv-python", "opencv-python-headless"),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "yaml": ("PyYAML",),
    "dateutil": ("python-dateutil",),
}
"""What a module is installed by, where that has another name than the module."""


@dataclass(frozen=True)
class CodeIdentity:
    """The code that makes a model: `digest` of its meaning, digests of its `files` as they are, `libraries` with their
    installed versions. `contents` are the files themselves; `entry` is the module that defines `train`."""

    digest: str
    files: dict[str, str]
    libraries: dict[str, str]
    entry: str
    contents: dict[str, bytes]
    has_features: bool
    has_postprocess: bool


def digest_of(value: Any) -> str:
    """The digest (32 hex digits) of any value that has one JSON form."""
    return blake3(canonical_json(value)).hexdigest(16)


def code_digest(entry: Path, root: Path, functions: Sequence[str] = ENTRY_FUNCTIONS) -> CodeIdentity:
    """The identity of what the entry module's `functions` reach below `root`.

    Comments, docstrings, formatting and definitions that are not reached do not count; library versions do. Raises
    DeclarationError when a file is missing, does not parse, or the first of `functions` is not defined.
    """
    follower = Follower(entry, root)
    if not follower.defines(functions[0]):
        raise DeclarationError(
            f"there is no function {functions[0]}", path=entry, hint="write train(train, valid, params)"
        )
    reached = follower.follow(functions)
    libraries = library_versions(reached.libraries)
    contents = {path: module.content for path, module in sorted(reached.modules.items())} | dict(
        sorted(reached.files.items())
    )
    files = {path: blake3(content).hexdigest() for path, content in contents.items()}
    digest = digest_of(
        {
            "modules": {path: _meaning(module, reached) for path, module in sorted(reached.modules.items())},
            "files": {path: files[path] for path in sorted(reached.files)},
            "libraries": libraries,
            "entry": reached.entry,
            "trimtab": TRAINING_VERSION,
        }
    )
    return CodeIdentity(
        digest=digest,
        files=files,
        libraries=libraries,
        entry=reached.entry,
        contents=contents,
        has_features=follower.defines("features"),
        has_postprocess=follower.defines("postprocess"),
    )


def library_versions(modules: set[str]) -> dict[str, str]:
    """Installed versions of the distributions that the top-level `modules` come from, with Python's own."""
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for module in sorted(modules | set(_ALWAYS)):
        for name in _distributions(module):
            versions[name] = metadata.version(name)
    return dict(sorted(versions.items()))


def params_digest(params_and_settings: Mapping[str, Any]) -> str:
    """The digest of hyper-parameters and of every setting that changes the model (seed, task, inputs ...)."""
    return digest_of(dict(params_and_settings))


def data_digest(versions: Mapping[str, str], rows: Mapping[str, Any]) -> str:
    """The digest of dataset `versions` (by name) and of which `rows` of them were taken (bounds and counts)."""
    return digest_of({"versions": dict(versions), "rows": dict(rows)})


def model_identity(code: str, params_and_settings: Mapping[str, Any], data: str) -> ModelIdentity:
    """The identity of the model that `code` (digest) makes with these parameters of `data` (digest)."""
    params = params_digest(params_and_settings)
    return ModelIdentity(id=digest_of([code, params, data])[:16], code=code, params=params, data=data)


def _meaning(module: Module, reached: Reached) -> list[Any]:
    """The statements that count: definitions by name (their order changes nothing), the rest in their order."""
    definitions: list[str] = []
    others: list[str] = []
    for position in sorted(reached.parts[module.path]):
        statement = module.body[position]
        single = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            len(module.binds[statement.name]) == 1
        )
        (definitions if single else others).append(syntax.meaning(statement))
    return [sorted(definitions), others, reached.links[module.path]]


def _distributions(module: str) -> list[str]:
    for name in _DISTRIBUTIONS.get(module, (module,)):
        with suppress(metadata.PackageNotFoundError):
            metadata.version(name)
            return [name]
    return sorted(set(metadata.packages_distributions().get(module, ())))  # slow: only for unusual names
