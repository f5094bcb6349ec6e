"""What may be declared of a source behind an address, and what is refused with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.declaration.load import parse
from trimtab.declaration.problems import DeclarationErrors
from trimtab.declaration.system import System
from trimtab.wiring.kinds import source_kinds

DECLARATION = """
[system]
name = "shop"
problem = "Which orders come back"
task = "binary_classification"

[requirements]
"quality.roc_auc" = ">= 0.6"

[model]
code = "model.py"

[[data]]
name = "orders"
key = "id"
time = "at"
label = "returned"
"""


def declared(folder: Path, source: str, options: str) -> System:
    (folder / "model.py").write_text("")
    text = f'{DECLARATION}source = "{source}"\noptions = {{ {options} }}\n'
    return parse(text, folder / "trimtab.toml", source_kinds())


def test_all_that_may_be_declared(tmp_path: Path) -> None:
    system = declared(
        tmp_path,
        "https://shop.example.com/api/orders?state=done",
        'items = "data.items", pages = "cursor", next = "meta.next", parameter = "after", size_parameter = "limit", '
        'page_size = 500, since_parameter = "since", until_parameter = "until", moments = "unix", appends = true, '
        'headers = { Accept-Language = "en" }, headers_env = { X-Shop = "SHOP_ID" }, token_env = "SHOP_TOKEN", '
        'parameters_env = { key = "SHOP_KEY" }, rate = "5 /s", tries = 3, timeout = "10 s", '
        'largest = "8 MiB", first = 0',
    )
    options = system.labelled.options
    assert (options["rate"], options["timeout"], options["largest"], options["first"]) == (5.0, 10.0, 8 * 2**20, 0)


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("https://u:p@shop.example.com/x", "", "holds a user or a password"),
        ("https://shop.example.com/x?api_key=abc", "", 'the parameter "api_key" of the address looks like a secret'),
        ("https:///x", "", "names no host"),
        ("https://shop.example.com:x/", "", "cannot be read"),
        ("https://shop.example.com/x#top", "", "which no server is ever told"),
        ("http://shop.example.com/x", 'token_env = "T"', "without encryption"),
        ("https://a/x", 'headers = { Authorization = "Bearer abc" }', "looks like a secret"),
        ("https://a/x", 'headers = { Accept = "a\\nb" }', "has a line break"),
        ("https://a/x", 'headers = { "A B" = "a" }', "cannot be the name of a header"),
        ("https://a/x", 'token_env = "abc-def ghi"', "is not the name of an environment variable"),
        ("https://a/x", 'pages = "cursor"', "needs the path to the cursor"),
        ("https://a/x", 'pages = "offset", next = "n"', 'next has no meaning for pages = "offset"'),
        ("https://a/x", 'pages = "link", parameter = "n"', "parameter has no meaning"),
        ("https://a/x", "page_size = 5", "page_size has no meaning"),
        ("https://a/x", 'size_parameter = "n"', "size_parameter has no meaning"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, source: str, options: str, said: str) -> None:
    with pytest.raises(DeclarationErrors) as caught:
        declared(tmp_path, source, options)
    (error,) = caught.value.errors
    assert said in error.message
    assert "abc" not in str(error)
    assert error.line >= 17


def test_one_on_this_machine_may_be_told_a_secret_in_plain(tmp_path: Path) -> None:
    assert declared(tmp_path, "http://127.0.0.1:8080/x", 'token_env = "T"').labelled.options == {"token_env": "T"}
