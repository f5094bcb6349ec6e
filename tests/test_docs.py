"""What the pages promise is there: links, files, make targets and benchmark scripts."""

from __future__ import annotations

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
