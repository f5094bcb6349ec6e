"""The user's own functions, from the code that was stored with the model.

Its modules are imported under a private package, so that two models with different versions of the same file live in
one process, and nothing of the user's folder is needed. Only source is read; nothing is unpickled.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from trimtab.errors import PermanentError


def load_function(code: bytes, entry: str, name: str, arguments: str) -> Callable[..., Any]:
    """The function `name` of module `entry` (dotted) in a zip of modules. Loaded once per content.

    Raises PermanentError when the code cannot be imported or has no such function; `arguments` is for the message.
    """
    package = "_trimtab_code_" + hashlib.blake2b(code, digest_size=10).hexdigest()
    if package not in sys.modules:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            sources = {path: archive.read(path) for path in archive.namelist() if path.endswith(".py")}
        _Finder(package, sources).install()
    try:
        module = importlib.import_module(f"{package}.{entry}")
    except BaseException as error:
        if not is_failure(error):
            raise
        raise PermanentError(f"{entry} cannot be imported for its {name}(): {error!r}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise PermanentError(f"{entry} has no function {name}({arguments})")
    return function  # type: ignore[no-any-return]


def is_failure(error: BaseException) -> bool:
    """Whether the code failed, in whatever way. Two that are no `Exception` belong to it: SystemExit, for a model must
    not end the process that runs it, and the panic of a library in Rust, Polars for one. What is left is meant for
    whoever runs the code: to be interrupted, or given up."""
    return isinstance(error, Exception | SystemExit) or type(error).__name__ == "PanicException"


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the modules of one zip below one private package."""

    def __init__(self, package: str, sources: Mapping[str, bytes]) -> None:
        self._package = package
        self._sources = {self._dotted(path): (path, source) for path, source in sources.items()}
        self._folders = {
            name.rsplit(".", depth)[0] for name in self._sources for depth in range(1, name.count(".") + 1)
        } | {self._dotted(path) for path in sources if path.endswith("__init__.py")}

    @staticmethod
    def _dotted(path: str) -> str:
        return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def install(self) -> None:
        """Make the package importable for the life of the process."""
        root = ModuleType(self._package)
        root.__path__ = []
        sys.modules[self._package] = root
        sys.meta_path.append(self)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module below this package, None for any other."""
        name = fullname.removeprefix(self._package + ".")
        if name == fullname or (name not in self._sources and name not in self._folders):
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=name in self._folders)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's source, with imports of its neighbours led to this package."""
        name = module.__name__.removeprefix(self._package + ".")
        if name not in self._sources:
            return  # a folder without __init__.py
        path, source = self._sources[name]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        module.__file__ = f"{self._package}/{path}"
        exec(
            compile(source, f"<{path}>", "exec", dont_inherit=True), module.__dict__
        )  # the user's own code, as trained

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or (top not in self._sources and top not in self._folders):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        private = f"{self._package}.{name}"
        if fromlist:
            return builtins.__import__(private, globals, locals, fromlist, 0)
        importlib.import_module(private)
        return sys.modules[f"{self._package}.{top}"]
