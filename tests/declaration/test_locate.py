"""Every key of a TOML document is found, on the line where it lies."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.declaration.locate import locate

names = st.sampled_from(
    ["a", "b", "c-d", "e_1", "1", "quality.recall", "", "with space", 'qu"ote', "back\\slash", "ü", "#"]
)
numbers = st.sampled_from(
    ["1", "-2.5", "true", "2013-03-01T05:00:00Z", "inf", "2013-03-01 05:00:00", "0x1F", "07:32:00"]
)
strings = st.sampled_from(
    [
        '"x"',
        "'lit#eral'",
        '"esc\\"aped"',
        '"""\nmulti\n"quoted"" line\\""" \n"""',
        "'''two\nlines'''",
        "''",
        '""""end""""',
    ]
)


def bare(name: str) -> bool:
    return name.isascii() and bool(name) and all(letter.isalnum() or letter in "-_" for letter in name)


def quote(name: str) -> str:
    return name if bare(name) else json.dumps(name, ensure_ascii=False)


class Writer:
    """Writes a document and remembers on which line it put each path."""

    def __init__(self):
        self.text = ""
        self.lines = {}

    @property
    def line(self):
        return self.text.count("\n") + 1

    def mark(self, path):
        self.lines.setdefault(path, self.line)


values = st.recursive(
    st.one_of(numbers, strings).map(lambda text: ("scalar", text)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: ("array", items)),
        st.dictionaries(names, inner, max_size=3).map(lambda items: ("table", items)),
    ),
    max_leaves=6,
)
gaps = st.sampled_from(["", " ", "\n", " # a comment ] } , \n", "\n\n  "])
documents = st.tuples(
    st.dictionaries(names, values, max_size=3),
    st.dictionaries(
        names,
        st.tuples(st.booleans(), st.lists(st.dictionaries(names, values, max_size=3), min_size=1, max_size=3)),
        max_size=4,
    ),
    st.lists(gaps, min_size=1, max_size=5),
)


def write_value(writer, path, value, gap, *, inline=False):
    kind, content = value
    if kind == "scalar":
        writer.text += content
    elif kind == "array":
        writer.text += "["
        for position, item in enumerate(content):
            writer.text += gap()
            writer.mark((*path, position))
            write_value(writer, (*path, position), item, gap, inline=True)
            writer.text += gap() + ","
        writer.text += gap() + "]"
    else:
        writer.text += "{"
        for position, (name, item) in enumerate(content.items()):
            writer.text += " , " if position else " "
            write_pair(writer, path, name, item, gap)
        writer.text += " }"


def write_pair(writer, path, name, value, gap):
    writer.mark((*path, name))
    writer.text += f"{quote(name)} = "
    write_value(writer, (*path, name), value, gap)


def write(document):
    head, tables, choices = document
    writer = Writer()
    turn = iter(range(10**9))

    def gap():
        return choices[next(turn) % len(choices)]

    for name, value in head.items():
        write_pair(writer, (), name, value, gap)
        writer.text += "  # said\n"
    for name, (many, contents) in tables.items():
        if name in head:
            continue
        for position, content in enumerate(contents if many else contents[:1]):
            writer.mark((name,))
            path = (name, position) if many else (name,)
            writer.mark(path)
            writer.text += f"[[ {quote(name)} ]]\n" if many else f"[{quote(name)}]\n"
            for key, value in content.items():
                write_pair(writer, path, key, value, gap)
                writer.text += "\n\n"
    return writer


@settings(max_examples=200)
@given(documents)
def test_every_path_is_on_the_line_where_it_was_written(document):
    writer = write(document)
    tomllib.loads(writer.text)
    assert locate(writer.text) == writer.lines
    assert locate(writer.text.replace("\n", "\r\n")) == writer.lines


def paths_of(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key)
            yield from paths_of(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield (*path, position)
            yield from paths_of(item, (*path, position))


TRICKY = """\
# a comment = [x]
top = 1
[a . "b.c"]
x.y . z = 2
x.w = { p.q = 1, r = [ 1,
  { s = '''
]''' },
] }
[[d]]
[[d.e]]
k = 1
[[d.e]]
k = 2
[d.f]
k = 3
[[d]]
[d.f]
k = 4
"quo\\"te#" = "a # b" # c
'lit eral' = []
"""


def test_dotted_keys_and_nested_tables_are_found():
    lines = locate(TRICKY)
    assert set(lines) == set(paths_of(tomllib.loads(TRICKY)))
    assert lines["top",] == 2
    assert lines["a", "b.c"] == 3
    assert lines["a", "b.c", "x", "y", "z"] == 4
    assert lines["a", "b.c", "x", "w", "p", "q"] == 5
    assert lines["a", "b.c", "x", "w", "r", 0] == 5
    assert lines["a", "b.c", "x", "w", "r", 1, "s"] == 6
    assert lines["d",] == 9
    assert lines["d", 0, "e", 0, "k"] == 11
    assert lines["d", 0, "e", 1] == 12
    assert lines["d", 0, "f", "k"] == 15
    assert lines["d", 1] == 16
    assert lines["d", 1, "f", "k"] == 18
    assert lines["d", 1, "f", 'quo"te#'] == 19
    assert lines["d", 1, "f", "lit eral"] == 20


@pytest.mark.parametrize("text", ["", "\n\n", "# only words", "a = 1", "a = 1 # no newline at the end"])
def test_small_documents(text):
    assert set(locate(text)) == set(paths_of(tomllib.loads(text)))
