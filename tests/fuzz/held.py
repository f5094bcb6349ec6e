"""What fuzzing found, and where it begins, held to again; and a few thousand changed by chance, the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fuzz.chance import changed
from tests.fuzz.http import HttpTarget
from tests.fuzz.seeds import inputs, picture_inputs, requests
from tests.fuzz.server import ServerTarget

FINDINGS = Path(__file__).parent / "findings"


@pytest.fixture
def http(tmp_path: Path) -> HttpTarget:
    return HttpTarget(tmp_path)


@pytest.fixture(scope="module", params=["columns", "pictures"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[ServerTarget, list[bytes], str]]:
    of_pictures = request.param == "pictures"
    target = ServerTarget(pictures=of_pictures)
    yield target, picture_inputs() if of_pictures else inputs(), request.param
    target.close()


@pytest.mark.parametrize("pattern", [0, 1, 5, 200, 255])
def test_the_connection_stands_every_seed(http: HttpTarget, pattern: int) -> None:
    for seed in requests():
        http(bytes([pattern]) + seed[1:])


def test_the_connection_stands_what_chance_makes_of_them(http: HttpTarget) -> None:
    for data in changed(requests(), 4000):
        http(data)


@pytest.mark.parametrize("path", sorted(FINDINGS.glob("http-*")), ids=lambda path: path.name)
def test_what_was_found_in_the_connection_stays_mended(http: HttpTarget, path: Path) -> None:
    http(path.read_bytes())


def test_the_server_stands_its_seeds_what_was_found_and_what_chance_makes_of_them(
    server: tuple[ServerTarget, list[bytes], str],
) -> None:
    target, seeds, kind = server
    for data in (
        *seeds,
        *(path.read_bytes() for path in sorted(FINDINGS.glob(f"{kind}-*"))),
        *changed(seeds, 4000, json=True),
    ):
        target(data)
