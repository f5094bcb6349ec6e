"""What changes a model's code identity, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DeclarationError
from trimtab.training.identity import code_digest, model_identity, params_digest

MODEL = '''"""Predicts."""
import numpy as np
from helper import scale, never_called
import pkg.parts
from pkg import tools as t
LIMIT = 3
UNUSED = 9
REGISTRY = {}
def register(function):
    REGISTRY[function.__name__] = function
    return function
@register
def strategy():
    return "a"
def unrelated():
    return 1
def train(train, valid, params, limit=LIMIT):
    """Fits."""
    x = scale(train.x)  # scaled
    with open("weights.csv") as file:
        weights = file.read()
    return pkg.parts.Thing(limit), t.tool(), np.mean(x)
def features(rows):
    return rows
if __name__ == "__main__":
    print("by hand")
'''
FILES = {
    "model.py": MODEL,
    "helper.py": (
        "import os\nFACTOR = 2\ndef deep(x):\n    return x + 1\ndef scale(x):\n    return deep(x) * FACTOR\n"
        "def never_called():\n    return 0\n"
    ),
    "pkg/__init__.py": "",
    "pkg/parts.py": (
        "from .base import Base\nclass Thing(Base):\n    def __init__(self, k):\n        self.k = k\n"
        "class Other(Base):\n    pass\n"
    ),
    "pkg/base.py": "class Base:\n    level = 1\nclass Unneeded:\n    pass\n",
    "pkg/tools.py": "def tool(a=1):\n    return a\ndef other_tool():\n    return 2\n",
    "weights.csv": "1,2\n",
    "notes.csv": "nothing to do with it\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root / "model.py"


def digest(root: Path, files: dict[str, str]) -> str:
    return code_digest(write(root, files), root).digest


def edited(name: str, old: str, new: str) -> dict[str, str]:
    assert FILES[name].count(old) >= 1, (name, old)
    return {**FILES, name: FILES[name].replace(old, new, 1)}


CHANGES = {
    "helper": ("helper.py", "deep(x) * FACTOR", "deep(x) * FACTOR * 1"),
    "helper of the helper": ("helper.py", "x + 1", "x + 2"),
    "constant in another module": ("helper.py", "FACTOR = 2", "FACTOR = 3"),
    "class": ("pkg/parts.py", "self.k = k", "self.k = k + 1"),
    "base class": ("pkg/base.py", "level = 1", "level = 2"),
    "default argument": ("pkg/tools.py", "a=1", "a=2"),
    "constant of a default argument": ("model.py", "LIMIT = 3", "LIMIT = 4"),
    "registered by a decorator": ("model.py", 'return "a"', 'return "b"'),
    "the decorator": ("model.py", "REGISTRY[function.__name__]", "REGISTRY[function.__qualname__]"),
    "file that a string names": ("weights.csv", "1,2", "1,3"),
    "import of another thing by the same name": ("model.py", "import scale,", "import never_called as scale,"),
    "features": ("model.py", "return rows", "return rows.head()"),
    "call when imported": ("helper.py", "import os\n", "import os\nos.environ['A'] = '1'\n"),
    "new library": ("helper.py", "import os\n", "import os, sklearn\n"),
}
NO_CHANGES = {
    "comment": ("model.py", "# scaled", "# made larger"),
    "docstring": ("model.py", '"""Fits."""', '"""Fits a model."""'),
    "module docstring": ("model.py", '"""Predicts."""', '"""Foretells."""'),
    "docstring removed": ("model.py", '    """Fits."""\n', ""),
    "formatting": ("model.py", "limit=LIMIT)", "limit = LIMIT ,)"),
    "quotes": ("model.py", 'return "a"', "return 'a'"),
    "unrelated function": ("model.py", "return 1", "return 2"),
    "unrelated constant": ("model.py", "UNUSED = 9", "UNUSED = 10"),
    "import that is not used": ("model.py", "scale, never_called", "scale"),
    "unused function of a helper": ("helper.py", "return 0", "return 1"),
    "unused class": ("pkg/base.py", "class Unneeded:\n    pass", "class Unneeded:\n    x = 1"),
    "unused subclass": ("pkg/parts.py", "class Other(Base):\n    pass", "class Other(Base):\n    x = 1"),
    "unused tool": ("pkg/tools.py", "return 2", "return 3"),
    "run by hand": ("model.py", 'print("by hand")', 'print("by hand!")'),
    "a file that no string names": ("notes.csv", "nothing", "something"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_model_depends_on_changes_it(tmp_path: Path, name: str) -> None:
    before = digest(tmp_path, FILES)
    assert digest(tmp_path, edited(*CHANGES[name])) != before
    assert digest(tmp_path, FILES) == before


@pytest.mark.parametrize("name", NO_CHANGES)
def test_what_it_does_not_depend_on_changes_nothing(tmp_path: Path, name: str) -> None:
    before = digest(tmp_path, FILES)
    assert digest(tmp_path, edited(*NO_CHANGES[name])) == before


def test_a_file_that_is_too_large_to_be_kept_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        'WEIGHTS = "w.bin"\ndef train(train, valid, params):\n    return open(WEIGHTS)\n'
    )
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(DeclarationError, match=r"model\.py names w\.bin, of 300 MiB"):
        code_digest(tmp_path / "model.py", tmp_path)


def test_the_order_of_functions_changes_nothing(tmp_path: Path) -> None:
    before = digest(tmp_path, FILES)
    swapped = "def scale(x):\n    return deep(x) * FACTOR\ndef deep(x):\n    return x + 1\nimport os\nFACTOR = 2\n"
    assert digest(tmp_path, {**FILES, "helper.py": swapped}) == before


def test_the_place_of_the_folder_changes_nothing(tmp_path: Path) -> None:
    assert digest(tmp_path / "a", FILES) == digest(tmp_path / "b" / "c", FILES)


def test_library_versions_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = write(tmp_path, FILES)
    before = code_digest(entry, tmp_path)
    assert before.libraries.keys() == {"numpy", "polars", "python"}
    version: Callable[[str], str] = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == "numpy" else version(name))
    after = code_digest(entry, tmp_path)
    assert after.libraries["numpy"] == "99"
    assert after.digest != before.digest


UNCERTAIN = {
    "exec": "def train(a, b, c):\n    exec('hidden()')\ndef hidden():\n    return {}\n",
    "computed getattr": "import me\ndef train(a, b, c):\n    return getattr(c, a)()\ndef hidden():\n    return {}\n",
    "globals": "def train(a, b, c):\n    return globals()['hid' + 'den']()\ndef hidden():\n    return {}\n",
}
UNCERTAIN_MODULE = {
    "star import": "from other import *\ndef train(a, b, c):\n    return hidden()\n",
    "constant import_module": (
        "import importlib\ndef train(a, b, c):\n    return importlib.import_module('other').hidden()\n"
    ),
    "computed import_module": "from importlib import import_module\n"
    "def train(a, b, c):\n    return import_module(a).f()\n",
    "computed __import__": "def train(a, b, c):\n    return __import__(a).f()\n",
    "a module passed around": "import other\ndef train(a, b, c):\n    return a(other)\n",
    "computed getattr of a module": "import other\ndef train(a, b, c):\n    return getattr(other, a)()\n",
    "import in a function": "def train(a, b, c):\n    import other as o\n    return o.hidden()\n",
    "import in try": (
        "try:\n    from other import hidden\nexcept ImportError:\n    hidden = None\n"
        "def train(a, b, c):\n    return hidden()\n"
    ),
    "module by attribute of a package": "import pack\ndef train(a, b, c):\n    return pack.deeper.hidden()\n",
    "relative import": "from pack.deeper import hidden\ndef train(a, b, c):\n    return hidden()\n",
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_where_following_is_not_certain_the_whole_module_counts(tmp_path: Path, name: str) -> None:
    found = [digest(tmp_path, {"me.py": "", "model.py": UNCERTAIN[name].format(k)}) for k in (1, 2)]
    assert found[0] != found[1]


@pytest.mark.parametrize("name", UNCERTAIN_MODULE)
def test_however_a_module_is_reached_it_counts(tmp_path: Path, name: str) -> None:
    def version(k: int) -> dict[str, str]:
        return {
            "model.py": UNCERTAIN_MODULE[name],
            "other.py": f"def hidden():\n    return {k}\n",
            "pack/__init__.py": "from . import deeper\n",
            "pack/deeper.py": f"from .same import hidden as h\ndef hidden():\n    return {k}\n".replace(
                "..other", ".same"
            ),
            "pack/same.py": f"def hidden():\n    return {k}\n",
        }

    assert digest(tmp_path, version(1)) != digest(tmp_path, version(2))


def test_subclasses_count_where_their_base_is_told_of_them(tmp_path: Path) -> None:
    source = (
        "class Base:\n    found = []\n    def __init_subclass__(cls):\n        Base.found.append(cls)\n"
        "class A(Base):\n    k = {}\ndef train(a, b, c):\n    return Base.found\n"
    )
    assert digest(tmp_path, {"model.py": source.format(1)}) != digest(tmp_path, {"model.py": source.format(2)})


names = st.sampled_from(["a", "b", "c", "d"])


@given(
    calls=st.dictionaries(names, st.lists(names, max_size=2), min_size=4, max_size=4),
    target=names,
)
def test_editing_a_function_counts_exactly_when_train_reaches_it(
    tmp_path_factory: pytest.TempPathFactory, calls: dict[str, list[str]], target: str
) -> None:
    """Four modules whose functions call each other at random: the digest follows reachability, no more and no less."""

    def files(value: int) -> dict[str, str]:
        made = {"model.py": "import a\ndef train(x, y, z):\n    return a.f(0)\n"}
        for name, called in calls.items():
            lines = [f"import {other}" for other in sorted(set(called))]
            body = " + ".join([str(value if name == target else 0), *(f"{other}.f(n - 1)" for other in called)])
            made[f"{name}.py"] = "\n".join(
                [*lines, "def f(n):", f"    return {body}", "def g():", f"    return {value}"]
            )
        return made

    root = tmp_path_factory.mktemp("code")
    reachable, waiting = set(), ["a"]
    while waiting:
        current = waiting.pop()
        if current not in reachable:
            reachable.add(current)
            waiting += calls[current]
    assert (digest(root, files(1)) != digest(root, files(2))) == (target in reachable)


def test_code_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="there is no file"):
        code_digest(tmp_path / "model.py", tmp_path)
    with pytest.raises(DeclarationError, match="there is no function train"):
        code_digest(write(tmp_path, {"model.py": "def fit(): pass\n"}), tmp_path)
    entry = write(tmp_path, {"model.py": "import broken\ndef train(a, b, c): pass\n", "broken.py": "x = 1\ndef (:\n"})
    with pytest.raises(DeclarationError) as raised:
        code_digest(entry, tmp_path)
    assert raised.value.line == 2
    assert raised.value.path == tmp_path / "broken.py"


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=4))
def test_parameters_count_whatever_their_order(params: dict[str, object]) -> None:
    assert params_digest(params) == params_digest(dict(reversed(params.items())))
    assert params_digest(params) != params_digest({**params, "one more": 1})


def test_each_of_the_three_makes_another_model() -> None:
    ids = {model_identity(code, {"k": k}, data).id for code in "ab" for k in (1, 2) for data in "cd"}
    assert len(ids) == 8
