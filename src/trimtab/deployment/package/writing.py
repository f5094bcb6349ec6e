"""Writes a package: a folder or a zip that is there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from trimtab.deployment.package.contents import CHECKSUMS
from trimtab.errors import PermanentError

_FIRST = (1980, 1, 1, 0, 0, 0)


def write_package(to: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write `files` (path to content), with their checksums, as the folder `to`, or as a zip where its name ends so; in
    the zip they lie below a folder called `name`. Raises PermanentError where something is there already."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise PermanentError(f"{to} is there already", hint="name a folder that is not there yet, or is empty")
    whole = {**files, CHECKSUMS: checksums(files)}
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.suffix == ".zip":
            _zip(to, name, whole)
        else:
            _folder(to, whole)
    except OSError as error:
        raise PermanentError(f"{to} cannot be written: {error.strerror or error}") from error
    return to


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Lines as `sha256sum` reads them."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items()))
    return "".join(lines).encode()


def _folder(to: Path, files: Mapping[str, bytes]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    try:
        for path, content in files.items():
            place = draft / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        draft.chmod(0o755)
        if to.exists():
            to.rmdir()
        draft.rename(to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _zip(to: Path, name: str, files: Mapping[str, bytes]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            member = zipfile.ZipInfo(f"{name}/{path}", date_time=_FIRST)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, content)
    draft = to.with_name(f".{to.name}.part")
    draft.write_bytes(out.getvalue())
    draft.replace(to)
