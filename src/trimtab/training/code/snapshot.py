"""The user's code as it is kept with a model: all that training reached, and the little that a server needs."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from trimtab.training.code.reach import Follower, Module, Reached


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A zip of files (path to content), the same bytes for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in sorted(files.items()):
            member = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content)
    return out.getvalue()


def code_of(function: str, entry: Path, root: Path) -> dict[str, bytes]:
    """Only the statements and imports that one function of the entry reaches, by module: a server that runs it then
    need not import what `train` imports. Static following can miss something, so the result must be tried before it is
    relied on."""
    reached = Follower(entry, root).follow((function,))
    return {path: _pruned(module, reached) for path, module in sorted(reached.modules.items())}


def modules_only(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The Python files among `files`."""
    return {path: content for path, content in files.items() if path.endswith(".py")}


def dotted(entry: str) -> str:
    """The name by which `entry` (a path below the root) is imported."""
    return entry.removesuffix(".py").replace("/", ".")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below `folder`."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _pruned(module: Module, reached: Reached) -> bytes:
    used = reached.links[module.path]
    parts = reached.parts[module.path]
    kept: list[ast.stmt] = []
    for position, statement in enumerate(module.body):
        if isinstance(statement, ast.ImportFrom) and (
            statement.module == "__future__" or any(alias.name == "*" for alias in statement.names)
        ):
            kept.append(statement)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names = [alias for alias in statement.names if (alias.asname or alias.name.partition(".")[0]) in used]
            if names and isinstance(statement, ast.Import):
                kept.append(ast.Import(names=names))
            elif names and isinstance(statement, ast.ImportFrom):
                kept.append(ast.ImportFrom(module=statement.module, names=names, level=statement.level))
        elif position in parts:
            kept.append(statement)
    return ast.unparse(ast.fix_missing_locations(ast.Module(body=kept, type_ignores=[]))).encode()
