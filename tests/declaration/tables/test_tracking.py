"""`[tracking]`: which trackers, refused in one line where there is none of that name."""

from __future__ import annotations

import pytest

from trimtab.data.kinds import SourceKinds
from trimtab.declaration.edited import Edited
from trimtab.declaration.load import load
from trimtab.declaration.problems import DeclarationErrors

KINDS = SourceKinds(trackers=lambda: ("folder", "tensorboard"))


def declared(folder, text):
    file = folder / "trimtab.toml"
    file.write_text(file.read_text() + f"\n[tracking]\n{text}\n")
    return load(file, KINDS)


def test_one_tracker_or_several(folder, loading):
    loading()
    plain = load(folder / "trimtab.toml")
    system = declared(folder, 'to = ["folder:a b", "tensorboard:runs"]\nartifacts = false')
    assert [(each.tool, each.place) for each in system.tracking.to] == [("folder", "a b"), ("tensorboard", "runs")]
    assert not system.tracking.artifacts
    assert system.digest == plain.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('to = "tensorbord:runs"', 'tracker "tensorbord"'),
        ('to = ["folder:a", "nothing"]', 'tracker "nothing"'),
        ('to = "folder:https://me:secret@there"', "holds a password"),
        ("artifacts = true", "to is missing"),
        ("to = 3", "a text or a list of texts"),
    ],
)
def test_what_cannot_be_meant_is_one_line(folder, loading, text, said):
    loading()
    with pytest.raises(DeclarationErrors, match=said) as caught:
        declared(folder, text)
    (error,) = caught.value.errors
    assert error.line
    assert "secret" not in str(error)


def test_a_changed_tracker_is_an_edit(folder, loading):
    loading()
    system = load(folder / "trimtab.toml", KINDS)
    edited = Edited(system, KINDS)
    declared(folder, 'to = "folder:a"')
    found = edited.now()
    assert found is not None
    assert found.tracking.to


def test_a_former_name_is_an_edit(folder, loading):
    """The digest leaves it out; the loop waits for it where the name was changed under its eyes."""
    loading()
    edited = Edited(load(folder / "trimtab.toml", KINDS), KINDS)
    loading(("[system]", '[system]\nformerly = "delays"'))
    found = edited.now()
    assert found is not None
    assert found.formerly == "delays"
