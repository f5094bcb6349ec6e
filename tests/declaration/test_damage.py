"""Whatever is done to a declaration, it loads or is refused with a message of ours, and never without a line."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.declaration.conftest import DECLARATION

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.errors import DeclarationError

MUTATIONS = st.lists(
    st.tuples(
        st.integers(0, len(DECLARATION)),
        st.integers(0, 30),
        st.text(st.sampled_from('"[]{}=.,#\n 0aé-%<>:'), max_size=6)
        | st.sampled_from(["true", "1", '"x"', "[]", "{}", "[[data]]\n", "nan", "2013-01-01", "'''"]),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MUTATIONS)
def test_a_damaged_declaration_loads_or_is_refused_with_a_line(folder, mutations):
    text = DECLARATION
    for start, length, new in mutations:
        text = text[:start] + new + text[start + length :]
    path = folder / "trimtab.toml"
    try:
        system = parse(text, path)
    except DeclarationErrors as error:
        assert all(1 <= found.line <= text.count("\n") + 1 and found.path == path for found in error.errors)
    except DeclarationError as error:
        assert error.path == path
        assert error.line >= 1
        assert "incomplete" not in error.message
    else:
        assert parse(system.text, path) == system


LINES = DECLARATION.split("\n")
SCALARS = [
    "true",
    "1",
    "-1",
    "0",
    "nan",
    "1e400",
    '""',
    '" "',
    '"x"',
    '"7 d"',
    '">= 0.5"',
    '"live"',
    "2013-01-01",
    "07:00:00",
]
TOML_VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(["limit", "by", "at", "code", "name"]), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=4,
)
PAIRS = [number for number, line in enumerate(LINES) if re.match(r'["a-z]', line)]


# Other lines build on these: a wrong one may be told there as well.
BUILT_ON = {
    "name", "task", "currency", "true_positive", "false_positive", "per_prediction", "source", "key", "time", "label",
    "label_delay", "valid", "consistent", "start", "end", "holdout",
}  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(PAIRS), TOML_VALUES, min_size=1, max_size=4))
def test_any_value_at_any_key_loads_or_is_told_at_its_line(folder, changes):
    lines = list(LINES)
    for number, value in changes.items():
        lines[number] = lines[number].split("= ")[0] + f"= {value}"
    path = folder / "trimtab.toml"
    try:
        system = parse("\n".join(lines), path)
    except DeclarationErrors as error:
        told = {found.line - 1 for found in error.errors}
        assert told <= set(range(len(lines)))
        if not BUILT_ON & {lines[number].split(" ")[0] for number in changes}:
            assert told <= set(changes), str(error)
    else:
        assert parse(system.text, path) == system


def test_a_missing_key_is_never_silent(folder):
    """Each required key, left out or misspelt, is told by name."""
    for fragment in (
        "name    =",
        "problem =",
        "task    =",
        'name = "fl',
        'source = "py',
        'key = "f',
        'view = "w',
        "start =",
    ):
        whole = next(line for line in DECLARATION.split("\n") if line.startswith(fragment))
        key = fragment.split(" ")[0]
        for changed in ("", whole.replace(key, key + "s", 1)):
            with pytest.raises(DeclarationErrors) as caught:
                parse(DECLARATION.replace(whole, changed, 1), folder / "trimtab.toml")
            assert f'"{key}"' in str(caught.value) or f"{key} is missing" in str(caught.value)
