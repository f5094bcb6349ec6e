"""The house rules that no tool checks: short files, names that say something, packages that say what they are for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "trimtab"
MOST_LINES = 400
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base_classes"}
STATE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)


def modules() -> list[Path]:
    found = sorted(SOURCE.rglob("*.py"))
    assert len(found) > 50, f"only {len(found)} modules below {SOURCE}"
    return found


def packages() -> list[Path]:
    return [path.parent for path in modules() if path.name == "__init__.py" and path.parent.parent == SOURCE]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_file_is_too_long() -> None:
    written = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.j2"), *SOURCE.rglob("*.css"), *(ROOT / "tests").rglob("*.py")]
    lengths = {shown(path): len(path.read_text("utf-8").splitlines()) for path in written}
    too_long = {name: lines for name, lines in lengths.items() if lines > MOST_LINES}
    assert not too_long, f"more than {MOST_LINES} lines: {too_long}"


def test_no_name_says_nothing() -> None:
    named = [
        shown(path)
        for path in SOURCE.rglob("*")
        if set(path.stem.lower().split("_")) & NAMES_THAT_SAY_NOTHING and "__pycache__" not in path.parts
    ]
    assert not named


def test_no_class_is_a_manager() -> None:
    found = [
        f"{shown(path)}: {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helper|Util|Utils)$", node.name)
    ]
    assert not found


def test_every_module_says_what_it_is_for() -> None:
    silent = [shown(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not silent


def test_no_module_keeps_state() -> None:
    """A list, dict or set at module level is a constant only when it is named as one."""
    found = [
        f"{shown(path)}:{node.lineno} {name}"
        for path in modules()
        for node in ast.parse(path.read_text("utf-8")).body
        for name in _bound(node)
        if isinstance(getattr(node, "value", None), STATE) and not _is_constant(name)
    ]
    assert not found


def _bound(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_constant(name: str) -> bool:
    return name.isupper() or (name.startswith("__") and name.endswith("__"))


def test_nothing_changes_a_global() -> None:
    found = [
        f"{shown(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Global)
    ]
    assert not found


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.name)
def test_architecture_has_a_paragraph_per_package(package: Path) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    name = package.relative_to(SOURCE).as_posix()
    paragraph = re.search(rf"^\*\*`{re.escape(name)}/`\*\*(.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert paragraph, f"docs/architecture.md has no paragraph that begins with **`{name}/`**"
    assert len(paragraph.group(1).split()) >= 20


def test_architecture_names_no_package_that_is_gone() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = set(re.findall(r"^\*\*`([\w/]+)/`\*\*", text, re.MULTILINE))
    there = {path.relative_to(SOURCE).as_posix() for path in packages()}
    assert named <= there


def test_every_version_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", pin) for pin in pins), "one name==version a line, nothing else"
    assert pins == sorted(pins)
    declared = (ROOT / "pyproject.toml").read_text("utf-8")
    declared = re.sub(r"^.*== 'darwin'.*$", "", declared, flags=re.MULTILINE)  # never in an environment made on Linux
    wanted = {
        name.lower().replace("_", "-") for name in re.findall(r'^\s+"([A-Za-z][\w.-]*)[>=]', declared, re.MULTILINE)
    }
    # PyTorch is not in our own environment: what its tests install is pinned beside them.
    pins += (ROOT / "tests" / "adapters" / "torch" / "requirements.txt").read_text("utf-8").splitlines()
    assert wanted - {pin.split("==")[0] for pin in pins} == set()
