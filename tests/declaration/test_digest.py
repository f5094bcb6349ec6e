"""The digest follows what a declaration means, not how or where it is written."""

from __future__ import annotations

import re

from tests.declaration.conftest import DECLARATION

from trimtab.declaration.load import load


def test_the_digest_is_of_the_meaning_alone(loading, folder):
    digest = loading().digest
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    same = (
        (("[model]", "# a comment\n\n[model]"),),
        (("15 ms", "0.015 s"),),
        (("98%", "0.98"),),
        (('"7 d"', '"1 w"'),),
        (("50%", "50.0%"),),
        (('"concept_drift", "requirement_broken"', '"requirement_broken", "concept_drift"'),),
        (('key = "flight_id"', 'key = ["flight_id"]'),),
        (("port = 8080", ""),),
        (("[system]", '[system]\nformerly = "delays"'),),
        (("learning_rate = 0.1, max_leaf_nodes = 31", "max_leaf_nodes = 31, learning_rate = 0.1"),),
    )
    for changes in same:
        assert loading(*changes).digest == digest, changes
    for change in (
        ("15 ms", "16 ms"),
        ("0.1,", "0.2,"),
        ("8.0", "8.5"),
        ('"14 d"\n\n[policy]', '"15 d"\n\n[policy]'),
        ("flight-delays", "flights"),
        ("port = 8080", "port = 8081"),
    ):
        assert loading(change).digest != digest, change


def test_the_digest_does_not_depend_on_the_place(folder, tmp_path_factory, loading):
    other = tmp_path_factory.mktemp("other")
    for file in folder.iterdir():
        (other / file.name).write_text(file.read_text())
    (other / "trimtab.toml").write_text(DECLARATION)
    assert load(other).digest == loading().digest
