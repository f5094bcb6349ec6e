"""A small project, and what may be edited in it: what must make it train again, and what must not.

The project is the same for every tool: `model.py` has the fit, a helper, a class and a function that nothing uses, and
imports `steps.py` beside it and `shade`, an installed package. How a tool is given the fit is written in its own file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHADE = "shade"
MODEL = '''"""A fit of three parts of the user's own."""

import shade
import steps


def middle(values):
    """The middle of some values."""
    return sum(values) / len(values)


class Line:
    """A line through the origin."""

    def slope(self, x, y):
        return middle(y) / middle(x)


def unused(values):
    return max(values)


def fit(x, y, factor):
    return steps.scale(Line().slope(x, y), factor) * shade.FACTOR
'''
STEPS = """def scale(value, factor):
    return value * factor
"""
DATA = {"x": [1.0, 2.0, 3.0, 4.0], "y": [2.0, 4.0, 6.0, 9.0]}


@dataclass(frozen=True)
class Edit:
    """One change of the project in a folder; `counts` when it makes another model."""

    name: str
    counts: bool
    make: Callable[[Path], None]


def write(folder: Path) -> None:
    """The project as it is at first: its code, data, parameters, and the package in `site`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    (folder / "steps.py").write_text(STEPS)
    (folder / "data.json").write_text(json.dumps(DATA))
    (folder / "params.json").write_text('{"factor": 2.0}')
    install(folder, "1.0")


def install(folder: Path, version: str) -> None:
    """The package in another version, as an installer leaves it."""
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    (site / SHADE).mkdir(parents=True)
    (site / SHADE / "__init__.py").write_text(f"FACTOR = {version}\n")
    about = site / f"{SHADE}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {SHADE}\nVersion: {version}\n")
    (about / "top_level.txt").write_text(f"{SHADE}\n")
    (about / "RECORD").write_text(f"{SHADE}/__init__.py,,\n")


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Text in a file of the project put in place of other text that is there."""

    def make(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, (name, old)
        (folder / name).write_text(text.replace(old, new))

    return make


EDITS = (
    Edit("nothing", False, lambda _: None),
    Edit("a helper", True, replaced("model.py", "sum(values) / len(values)", "sorted(values)[len(values) // 2]")),
    Edit("a method of a class", True, replaced("model.py", "middle(y) / middle(x)", "middle(y) / middle(x) + 1")),
    Edit("an imported module", True, replaced("steps.py", "value * factor", "value * factor * factor")),
    Edit("a parameter", True, replaced("params.json", "2.0", "3.0")),
    Edit("a row of the data", True, replaced("data.json", "9.0", "8.0")),
    Edit("a library's version", True, lambda folder: install(folder, "1.1")),
    Edit("a comment", False, replaced("model.py", "    return sum", "    # of all of them\n    return sum")),
    Edit(
        "formatting",
        False,
        replaced("model.py", "sum(values) / len(values)", "(sum(values)\n            / len( values ))"),
    ),
    Edit("a docstring", False, replaced("model.py", "The middle of some values.", "Their mean.")),
    Edit("what is not used", False, replaced("model.py", "max(values)", "min(values)")),
)
