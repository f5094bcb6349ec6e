"""Adapters are found by stage and name, and a missing package says what to install."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from trimtab.adapters.catalog import OFFERS, Offer, find, names
from trimtab.errors import PermanentError

ROOT = Path(__file__).parents[2]
HERE = Offer(stage="data", name="here", target="pathlib:Path")
ABSENT = Offer(stage="data", name="absent", target="no_such_tool.api:open", extra="tool", needs=("no_such_tool",))


def test_an_adapter_is_found_by_stage_and_name() -> None:
    assert find("data", "here", [HERE]) is Path
    assert find("labels", "here", [HERE]) is None
    assert find("data", "there", [HERE]) is None
    assert names("data", [HERE, ABSENT])[:2] == ("here", "absent")


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(PermanentError, match="absent needs the package 'no_such_tool'") as raised:
        find("data", "absent", [ABSENT])
    assert raised.value.hint == "pip install 'trimtab[tool]'"


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer.stage}-{offer.name}")
def test_every_offer_can_be_had(offer: Offer) -> None:
    """Where its package is not installed, the error says how to."""
    module, attribute = offer.target.split(":")
    assert callable(getattr(import_module(module), attribute))
    if all(find_spec(needed) for needed in offer.needs):
        assert find(offer.stage, offer.name) is not None
        return
    assert offer.extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    with pytest.raises(PermanentError, match=f"{offer.name} needs the package"):
        find(offer.stage, offer.name)
