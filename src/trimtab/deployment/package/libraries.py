"""The libraries that a model was trained with: what has to be installed, and under which licences they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata

from trimtab.deployment.package.contents import LibraryLicence

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_OWN = frozenset({"python", "trimtab"})
_LONGEST = 60
_CLASSIFIER = "License :: "


def closure(libraries: Mapping[str, str], installed: Mapping[str, str] | None = None) -> dict[str, str]:
    """The libraries by their plain names with all that they need, each with its version: the one that is recorded, or
    else the installed one. `installed` are the versions of when the model was trained, where they are known.

    What they need is told by the metadata of what is installed here; a library that is not is pinned by itself.
    """
    found: dict[str, str] = {}
    waiting = [(plain(name), version) for name, version in libraries.items() if name not in _OWN]
    then = {plain(name): version for name, version in (installed or {}).items()}
    while waiting:
        name, version = waiting.pop()
        if name in found:
            continue
        found[name] = version
        for needed in _needs(name):
            here = then.get(needed) or version_of(needed)
            if here is not None and needed not in _OWN:
                waiting.append((needed, here))
    return dict(sorted(found.items()))


def version_of(name: str) -> str | None:
    """The installed version of a library; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def plain(name: str) -> str:
    """The name of a distribution in the one form that indexes use (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licences(libraries: Mapping[str, str]) -> tuple[LibraryLicence, ...]:
    """What the metadata of each library says of its licence, as they are installed here."""
    found = []
    for name, version in libraries.items():
        here = version_of(name)
        note = "" if here == version else f"of version {here}" if here is not None else "not installed here"
        licence = "" if here is None else _licence(metadata.metadata(name))
        found.append(LibraryLicence(name=name, version=version, licence=licence, note=note))
    return tuple(found)


def pins(libraries: Mapping[str, str]) -> bytes:
    """A requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in libraries.items()).encode()


def _needs(name: str) -> Iterable[str]:
    """What a library needs without any of its extras."""
    try:
        wanted = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in wanted:
        match = _NAME.match(line)
        if match is not None and "extra ==" not in line.partition(";")[2]:
            yield plain(match[1])


def _licence(said: metadata.PackageMetadata) -> str:
    """The SPDX expression (PEP 639), else the short name, else what the classifiers say."""
    for key in ("License-Expression", "License"):
        text = " ".join(str(said[key]).split()) if key in said else ""
        if text and len(text) <= _LONGEST and text.upper() != "UNKNOWN":
            return text
    classed = [line.rsplit(" :: ", 1)[-1] for line in said.get_all("Classifier") or [] if line.startswith(_CLASSIFIER)]
    return ", ".join(classed)
