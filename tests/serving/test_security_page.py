"""The examples of docs/security.md, run as they stand: commands in the shell, and a server that shows their work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.serving import models
from tests.serving.conftest import Make

from trimtab.declaration.load import load
from trimtab.records.layout import Layout
from trimtab.serving.access.tokens import add_token, read_tokens
from trimtab.serving.config import server_config

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def block(kind: str, how: str = "") -> list[str]:
    return [code for found, way, code in BLOCKS if (found, way) == (kind, how)]


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A folder with a declaration in it."""
    folder = tmp_path / "system"
    shutil.copytree(ROOT / "tests" / "systems" / "minimal", folder)
    return folder


def shell(code: str, folder: Path, **environment: str) -> str:
    """What the commands print; `trimtab` is this tree's."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", code], cwd=folder, env=os.environ | {"PATH": path} | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_about_tokens(system: Path) -> None:
    (code,) = block("sh", "cli")
    said = shell(code, system)
    assert said.count("trimtab_") == 2
    (left,) = read_tokens(Layout(system / ".trimtab").tokens)
    assert (left.name, left.scopes, left.requests, left.rows) == ("dashboard", ("predict",), 100.0, 5000.0)


@pytest.mark.parametrize("part", block("toml"))
def test_the_declarations_load_and_say_what_they_show(system: Path, part: str) -> None:
    file = system / "trimtab.toml"
    text = re.sub(r"^\[serve\]\n(?:(?!\[).*\n)*", "", file.read_text("utf-8"), flags=re.MULTILINE)
    file.write_text(f"{text}\n{part}", "utf-8")
    add_token(Layout(system / ".trimtab").tokens, "first", ("predict",), datetime.now(UTC))
    declared = load(file)
    config = server_config(declared.serve, "x", {}, Layout(system / ".trimtab").tokens, system)
    assert bool(config.tls_cert) == ("tls_cert" in part)
    assert bool(config.cors) == ("cors" in part)


@pytest.mark.skipif(shutil.which("openssl") is None or shutil.which("curl") is None, reason="needs openssl and curl")
def test_a_certificate_made_as_shown_is_one_that_curl_takes(make: Make, tmp_path: Path) -> None:
    (certify,), (ask,) = block("sh", "openssl"), block("sh", "curl")
    shell(certify, tmp_path)
    token, _ = add_token(Layout(tmp_path / "state-0").tokens, "one", ("predict",), datetime.now(UTC))
    server = make(tls_cert=str(tmp_path / "chain.pem"), tls_key=str(tmp_path / "key.pem"))
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([1.0, 1.0]))))
    where = f"localhost:{urlsplit(server.url).port}"
    ask = ask.replace("localhost:8443", where).replace("curl ", f"curl -sS --fail --resolve {where}:127.0.0.1 ")
    assert '"predictions":[{"id"' in shell(ask, tmp_path, TOKEN=token)
    with pytest.raises(AssertionError, match="401"):
        shell(ask, tmp_path, TOKEN="trimtab_other")


def test_what_the_table_of_scopes_names_is_all_there_is() -> None:
    from trimtab.serving.access.scopes import SCOPES

    table = TEXT.split("| scope |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(SCOPES)


def test_the_tests_it_names_are_there() -> None:
    named, rooms = re.findall(r"`(test_\w+\.py)`", TEXT), re.findall(r"`(tests/[\w/]+)`", TEXT)
    assert len(named) >= 5
    assert all(any((ROOT / room / name).is_file() for room in rooms) for name in named)
    assert all((ROOT / room).is_dir() for room in rooms)
