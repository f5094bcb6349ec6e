"""Rows from a user's Python function: `def flights(since, until)` gives the rows with since < time <= until."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
from blake3 import blake3

from trimtab.data.port import DataError
from trimtab.data.spec import DatasetSpec
from trimtab.data.values.times import in_utc
from trimtab.errors import DeclarationError, TrimtabError


class PythonSource:
    """Calls the function for each fetch. It may give a Polars frame, eager or lazy, or anything Polars reads as one
    (an Arrow table, a pandas frame, a list of dicts). `since` is None the first time. Rows outside the span are handed
    on: rows already stored are known by their key, and rows from the future are refused by name.

    The module is loaded under a name of its own, so that two systems may each have a `sources.py`; modules beside it
    can be imported by it, and are its own as well.
    """

    def __init__(self, spec: DatasetSpec, folder: Path, *, module: str, function: str) -> None:
        self._spec = spec
        self._folder = folder.resolve()
        self._path = self._folder.joinpath(*module.split(".")).with_suffix(".py")
        self._private: dict[str, ModuleType] = {}
        self._function = self._find(function)

    def expect(self, schema: Mapping[str, pl.DataType]) -> None:
        """A frame knows its types."""

    def fetch(self, since: datetime | None, until: datetime) -> pl.DataFrame:
        with self._user_code():
            rows = self._function(since, until)
            frame = rows.collect() if isinstance(rows, pl.LazyFrame) else rows
        if not isinstance(frame, pl.DataFrame):
            frame = self._as_frame(frame)
        if frame.is_empty():
            return frame
        if self._spec.time not in frame.columns:
            raise DataError(
                f"dataset {self._spec.name!r}: {self._spec.source} gave no column {self._spec.time!r} (time)",
                hint=f"the columns are {', '.join(sorted(frame.columns)[:20])}",
            )
        return in_utc(frame, self._spec)

    def _as_frame(self, rows: Any) -> pl.DataFrame:
        try:
            if type(rows).__module__.startswith("pandas."):
                return pl.from_pandas(rows)  # NaN is pandas' null
            return pl.DataFrame(rows)
        except Exception as error:
            raise DataError(
                f"dataset {self._spec.name!r}: {self._spec.source} gave {type(rows).__name__}, which is no table",
                hint="return a Polars or pandas frame, an Arrow table or a list of dicts",
            ) from error

    def _find(self, function: str) -> Callable[[datetime | None, datetime], Any]:
        if not self._path.is_file():
            raise DeclarationError(
                f"dataset {self._spec.name!r}: there is no {self._path}",
                line=self._spec.line,
                hint="the module in `source` is a file beside the declaration",
            )
        name = f"trimtab_source_{blake3(str(self._path).encode()).hexdigest()[:16]}"
        spec = importlib.util.spec_from_file_location(name, self._path)
        if spec is None or spec.loader is None:
            raise DeclarationError(f"dataset {self._spec.name!r}: {self._path} cannot be loaded", line=self._spec.line)
        module = importlib.util.module_from_spec(spec)
        with self._user_code():
            sys.modules[name] = module  # dataclasses and pickling look their module up by name
            try:
                spec.loader.exec_module(module)
            except BaseException:
                sys.modules.pop(name, None)
                raise
        found = getattr(module, function, None)
        if not callable(found):
            raise DeclarationError(
                f"dataset {self._spec.name!r}: {self._path} has no function {function!r}",
                line=self._spec.line,
                hint=f"its functions are {_functions(module)}",
            )
        return found  # type: ignore[no-any-return]

    @contextmanager
    def _user_code(self) -> Iterator[None]:
        """Run the user's code with the modules beside it in reach, and name file and line of what it raises."""
        before = {name: module for name, module in sys.modules.items() if name in self._private}
        sys.modules.update(self._private)
        sys.path.insert(0, str(self._folder))
        known = set(sys.modules)
        try:
            yield
        except TrimtabError:
            raise
        except (Exception, SystemExit) as error:
            raise self._told(error) from error
        finally:
            sys.path.remove(str(self._folder))
            for name in set(sys.modules) - known:
                module = sys.modules[name]
                if self._is_mine(module):
                    self._private[name] = module
            for name in self._private:
                sys.modules.pop(name, None)
            sys.modules.update(before)

    def _is_mine(self, module: ModuleType) -> bool:
        place = getattr(module, "__file__", None)
        if place is None or module.__name__.startswith("trimtab_source_"):
            return False
        path = Path(place).resolve()
        return path.is_relative_to(self._folder) and "site-packages" not in path.parts

    def _told(self, error: BaseException) -> DataError:
        frames = traceback.extract_tb(error.__traceback__)
        mine = [frame for frame in frames if Path(frame.filename).is_relative_to(self._folder)]
        at = f"{mine[-1].filename}:{mine[-1].lineno}" if mine else str(self._path)
        if isinstance(error, SyntaxError) and error.filename:
            at = f"{error.filename}:{error.lineno}"
        said = str(error).strip().splitlines()
        what = type(error).__name__ + (f": {said[0]}" if said else "")
        return DataError(f"dataset {self._spec.name!r}: its source failed at {at}: {what}")


def _functions(module: ModuleType) -> str:
    names = sorted(
        name
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    )
    return ", ".join(names) or "none"
