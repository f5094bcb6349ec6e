"""A dataset version into a DVC repository: as files that DVC tracks, and the small file that stands for them in git."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trimtab.adapters.dvc.command import run
from trimtab.data.port import DataError
from trimtab.data.store.versions import DatasetStore

_SECONDS = 3600.0
_ROWS = "rows.parquet"


def export(store: DatasetStore, folder: Path, version: str | None, environment: Mapping[str, str]) -> Path:
    """Write a version to `folder`, in a DVC repository, and add it there; returns its `.dvc` file. What DVC tracked
    under that name is replaced: git has the former one.

    Media are written as files under their keys; a dataset without media as `rows.parquet`. Raises DataError for a
    folder that is there and not DVC's.
    """
    folder = folder.absolute()
    pointer = folder.with_name(f"{folder.name}.dvc")
    if not folder.parent.is_dir() or not any((above / ".dvc").is_dir() for above in folder.parents):
        raise DataError(f"{folder.parent} is in no DVC repository", hint="`dvc init` makes one, in a git repository")
    if folder.exists() and not pointer.exists():
        raise DataError(f"{folder} is there already, and DVC does not track it", hint="choose another name")
    found = store.version(version)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".trimtab-") as holding:
        made = Path(holding) / "made"
        if any(name in found.columns for name in store.spec.media):
            store.check_out(made, found.id)
        else:
            made.mkdir()
            store.export(made / _ROWS, found.id)
        if folder.exists():
            folder.replace(Path(holding) / "former")
        made.replace(folder)
        try:
            run(["add", folder.name], folder.parent, environment, seconds=_SECONDS, named=str(folder))
        except BaseException:
            shutil.rmtree(folder)
            former = Path(holding) / "former"
            if former.exists():
                former.replace(folder)
            raise
    return pointer
