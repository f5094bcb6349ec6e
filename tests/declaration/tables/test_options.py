"""`[data.options]`: read by the record of the kind of source, each mistake with its line and the nearest name."""

from __future__ import annotations

from typing import Literal

import pytest

from trimtab.data.kinds import Duration, Rate, Size, SourceKind, SourceKinds
from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.errors import DeclarationError
from trimtab.records.base import Record

SOURCE = 'source = "python:sources:weather"'


class Options(Record):
    path: str
    page: Literal["cursor", "link"] = "cursor"
    rows: int = 100
    rate: Rate | None = None
    timeout: Duration = 30.0
    largest: Size = 1024
    headers: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    names: tuple[str, ...] = ()
    whole: bool = False


def check(source: str, options: Options) -> None:
    if options.whole and options.page == "link":
        raise DeclarationError(f"{source} cannot be whole", hint="leave it out")


THINGS = {"things": SourceKind(Options, check), "open": SourceKind(options=None), "plain": SourceKind()}
KINDS = SourceKinds(find=THINGS.get, names=lambda: tuple(THINGS))


@pytest.fixture
def reading(folder, text):
    """Loads the declaration with the source of its second dataset, and its options, put in place of the present."""

    def read(source, options=None):
        line = f'{SOURCE[:10]}{source}"' + (f"\noptions = {{ {options} }}" if options is not None else "")
        return parse(text.replace(SOURCE, line), folder / "trimtab.toml", KINDS).data[1]

    return read


def test_options_are_kept_in_base_units(reading):
    spec = reading(
        "things://x",
        'path = "a.b", page = "link", rows = 7, rate = "30 /min", timeout = "2 min", largest = "2 KiB", '
        'headers = { Accept = "text" }, names = ["n", "m"], whole = false',
    )
    assert spec.options == {
        "path": "a.b", "page": "link", "rows": 7, "rate": 0.5, "timeout": 120.0, "largest": 2048,
        "headers": {"Accept": "text"}, "names": ("n", "m"), "whole": False,
    }  # fmt: skip
    assert reading("things+more://x", 'path = "a"').options == {"path": "a"}


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("things://x", 'path = "a", ratio = "1 /s"', 'options ratio: unknown option; did you mean "rate"?'),
        ("things://x", 'path = "a", rate = "5"', 'options rate: "5" has no unit'),
        ("things://x", 'path = "a", rate = "0 /s"', "options rate: expected a rate above zero"),
        (
            "things://x",
            'path = "a", page = "curser"',
            'options page curser: unknown value "curser"; did you mean "cursor"?',
        ),
        ("things://x", 'path = "a", rows = 0', "options rows: expected a whole number from 1"),
        ("things://x", 'path = "a", timeout = "5 KiB"', "is a size, where a time is expected"),
        ("things://x", 'path = "a", headers = { A = 1 }', "options headers A: expected a text, found the number 1"),
        ("things://x", 'path = "a", whole = true, page = "link"', "options: things://x cannot be whole"),
        ("things://x", "rows = 1", "options: path is missing"),
        ("things://x", None, "options: path is missing"),
        ("plain:x", "rows = 1", "options rows: unknown option"),
        ("python:sources:weather", "rows = 1", "options: has no meaning for this source"),
        ("thing://x", None, '"thing://" is not a source that can be read; did you mean "things"?'),
    ],
)
def test_a_wrong_option_is_named(reading, source, options, said):
    with pytest.raises(DeclarationErrors) as caught:
        reading(source, options)
    (error,) = caught.value.errors
    assert said in error.message
    assert error.line


def test_a_kind_of_another_package_has_its_options_as_they_stand(reading):
    assert reading("open:x", 'anything = "10 s", n = [1]').options == {"anything": "10 s", "n": [1]}
