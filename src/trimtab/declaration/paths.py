"""Paths in a declaration: relative ones stay inside its folder, absolute ones are taken as given."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from trimtab.declaration.problems import KeyPath, Problems, did_you_mean


def stays_inside(path: str) -> bool:
    """Whether a path is absolute, or relative without ever leaving the folder it starts from."""
    pure = PurePosixPath(path)
    depth = 0
    for part in () if pure.is_absolute() else pure.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def check_inside(problems: Problems, key: KeyPath, path: str) -> bool:
    """Record a problem when the path leaves the declaration's folder."""
    if stays_inside(path):
        return True
    problems.add(key, f'"{path}" leaves the folder of the declaration', hint="move it inside, or give an absolute path")
    return False


def check_file(problems: Problems, key: KeyPath, folder: str, path: str) -> None:
    """Record a problem when there is no such Python file."""
    if not check_inside(problems, key, path):
        return
    file = Path(folder) / path
    if not file.is_file():
        near = did_you_mean(file.name, sorted(other.name for other in file.parent.glob("*.py")))
        problems.add(key, f'there is no file "{path}"{near}', hint=f"looked in {Path(folder)}")
    elif file.suffix != ".py":
        problems.add(key, f'"{path}" is not a Python file')
