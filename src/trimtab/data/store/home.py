"""Where the datasets of a system lie: below a folder, or in a bucket with a folder for what may be thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trimtab.data.port import DataError
from trimtab.data.store.packs import Packs
from trimtab.data.store.tables.place import BucketPlace, FolderPlace, TablePlace
from trimtab.records.objects import BucketObjects, LocalObjects, keeps_one_of_two

_ROWS = "rows.lance"


class Home:
    """`folder` on this machine, and `url` (`s3://bucket/prefix`) where the datasets lie elsewhere; a bucket's region,
    endpoint and keys are in `environ`. With `one_writer` a bucket need not tell two writers apart: nothing but the word
    of whoever declares it keeps a second one from doing harm."""

    def __init__(
        self, folder: Path, url: str = "", environ: Mapping[str, str] | None = None, *, one_writer: bool = False
    ) -> None:
        self.folder = folder
        self._url = url.rstrip("/")
        self._environ = environ or {}
        self._trusted = one_writer or not url

    def beside(self, dataset: str, branch: str = "") -> Path:
        """The folder of this machine for what belongs to a dataset, or to a branch of it: all of it, or in front of a
        bucket only copies and the lock."""
        folder = self.folder / dataset
        return folder / "branches" / branch if branch else folder

    def rows(self, dataset: str, branch: str = "") -> TablePlace:
        """The table of a dataset's rows."""
        if self._url:
            return BucketPlace(f"{self._url}/{dataset}/{_ROWS}", self._environ, branch)
        root = self.folder / dataset / _ROWS
        return FolderPlace(root / "tree" / branch, root) if branch else FolderPlace(root)

    def quarantine(self, dataset: str, branch: str = "") -> TablePlace:
        """The table of the rows that were refused."""
        name = f"quarantine-{branch}.lance" if branch else "quarantine.lance"
        if self._url:
            return BucketPlace(f"{self._url}/{dataset}/{name}", self._environ)
        return FolderPlace(self.folder / dataset / name)

    def packs(self, dataset: str) -> Packs:
        """The bytes of a dataset's media."""
        if self._url:
            objects = BucketObjects(f"{self._url}/{dataset}/media", self._environ)
            return Packs(objects, self.folder / dataset / "media")
        return Packs(LocalObjects(self.folder / dataset / "media"))

    def check_writers(self) -> None:
        """Raises DataError where two writers could overwrite each other: the store takes a conditional PUT, and does
        not keep to its condition. Asked once."""
        if self._trusted:
            return
        if not keeps_one_of_two(BucketObjects(self._url, self._environ)):
            raise DataError(
                f"{self._url} cannot be written by several writers: it takes `If-None-Match: *` and overwrites all the "
                "same, so that one writer could undo another's commit; nothing was written",
                hint="use a store that honours conditional PUT, or, if only one process ever writes, [store] writers = "
                '"one"',
            )
        self._trusted = True


def home_at(root: Path | Home) -> Home:
    """A home as it is; of a folder, the one on this machine."""
    return Home(root) if isinstance(root, Path) else root
