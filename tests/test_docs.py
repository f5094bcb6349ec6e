"""What the pages promise is there: links, files, make targets and benchmark scripts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_every_decision_has_its_parts() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in decisions] == [f"{number:04d}" for number in range(1, len(decisions) + 1)]
    for page in decisions:
        text = page.read_text("utf-8")
        assert text.startswith(f"# {int(page.name[:4])}. ")
        assert "**Status**" in text
        assert "## What it costs" in text


def test_no_message_sends_a_reader_to_a_page_that_is_not_installed() -> None:
    """Who has Trimtab from a package index has none of these pages: a hint says the mend itself."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "src").rglob("*.py"))
        for tree in (ast.parse(path.read_text("utf-8")),)
        for told in (_docstrings(tree),)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "docs/" in node.value
        if id(node) not in told and "://" not in node.value
    ]
    assert not found


def _docstrings(tree: ast.Module) -> set[int]:
    """The texts that stand by themselves: they are for who reads the code."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_make_targets_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = {
        target
        for page in PAGES
        for line in re.findall(r"`make ([a-z][a-z -]*)`|^make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
        for target in " ".join(line).split()
    }
    assert named
    assert named <= targets


def test_benchmarks_that_are_listed_exist() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    scripts = [command.split()[0] for command in re.findall(r"^\| `([\w/]+\.py[^`]*)` \|", text, re.MULTILINE)]
    assert scripts
    assert [script for script in scripts if not (ROOT / "benchmarks" / script).is_file()] == []
