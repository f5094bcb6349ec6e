"""Models of tensors in the long run: hooks of the user's, canaries and shadows, what is kept, and a kill."""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec
import numpy as np
from tests.inference.tensors import graphs, media
from tests.serving import models, pictures
from tests.serving.pictures import INFER, PNG, TENSOR, binary, chances, in_bytes, packed
from tests.serving.running import Running, until

HOOK = """
import numpy as np

def postprocess(outputs):
    sure = outputs["logits"].max(axis=1)
    if (outputs["pixels"] > 4608).any():
        raise ValueError("too many")
    return {"sure": sure > 0.5, "said": [f"{one:.1f}" for one in sure]}
"""


def test_the_users_hook_makes_further_outputs(make):
    server = make()
    server.route(pictures.route("p1", pictures.colours(server.blobs, hook=HOOK)))
    _, told = server.ask("POST", "/predict", PNG, {"content-type": "image/png"})
    best = max(chances())
    assert told["predictions"][0]["outputs"] == {"pixels": 4608.0, "sure": best > 0.5, "said": f"{best:.1f}"}
    _, told = server.ask("GET", f"/v2/models/{models.SYSTEM}")
    assert {"name": "said", "datatype": "BYTES", "shape": [-1]} in told["outputs"]
    assert {"name": "sure", "datatype": "BOOL", "shape": [-1]} in told["outputs"]
    assert told["parameters"]["execution"]["kind"] == "threads"


def test_a_hook_for_a_table(make):
    server = make()
    made = models.bundle(server.blobs, models.sigmoid([0.001, 0.5]))
    hook = "def postprocess(outputs):\n    return {'percent': (outputs['scores'] * 100).round()}\n"
    server.route(models.route("r1", with_hook(server, made, hook)))
    _, told = server.ask("POST", "/predict", [{"distance": 0.0, "carrier": "AA"}])
    assert told["predictions"][0]["outputs"] == {"percent": 50.0}


def with_hook(server: Running, made: Any, hook: str) -> Any:
    packed_hook = pictures.bundle(server.blobs, b"", made.signature, hook)
    return msgspec.structs.replace(made, postprocess_code=packed_hook.postprocess_code, entry="model")


def test_a_hook_that_fails_is_told_and_counted(make):
    server = make()
    free = media.image_input((3, -1, -1), size=None)
    made = pictures.bundle(
        server.blobs,
        graphs.mean_colour(("n", 3, "h", "w")),
        graphs.colour_signature(free),
        HOOK.replace("4608", "20000"),
    )
    server.route(pictures.route("p1", made))
    large = media.file_of(media.picture(200, 200))
    status, told = server.ask("POST", "/predict", large, {"content-type": "image/png"})
    assert status == 500
    assert "release p1 could not answer: postprocess(outputs) raised ValueError: too many" in told["error"]
    assert server.ask("POST", "/predict", PNG, {"content-type": "image/png"})[0] == 200
    assert server.status().releases[0].failed == 1


def test_canary_and_shadow_see_the_same_pictures(make):
    """The canary reads them in another size: it decodes the file for itself. The shadow takes what the live one has."""
    server = make()
    small = media.image_input((3, 16, 16), size=(16, 16))
    own = pictures.bundle(server.blobs, graphs.mean_colour(("n", 3, 16, 16)), graphs.colour_signature(small))
    server.route(
        pictures.route("live", pictures.colours(server.blobs), weight=0.5),
        pictures.route("canary", own, "canary", 0.5),
        pictures.route("shadow", pictures.colours(server.blobs, top=1), "shadow"),
    )
    files = [media.file_of(media.picture(50, 70, seed)) for seed in range(40)]
    raw = packed(*files)
    status, told = server.ask("POST", INFER, *binary({"inputs": [in_bytes("image", "BYTES", [40], raw)]}, raw))
    assert status == 200, told
    releases = told["parameters"]["releases"]
    assert {"live", "canary"} == set(releases)
    by_name = {one["name"]: one["data"] for one in told["outputs"]}
    assert by_name["pixels"] == [4608.0 if name == "live" else 768.0 for name in releases]
    with server.client() as client:
        client.settle()
    found = server.reader().predictions(None, None)
    assert found.filter(found["stage"] == "shadow").height == 40
    assert found.filter(found["stage"] == "canary").height == releases.count("canary")


def test_inputs_are_kept_as_they_were_sent(make):
    server = make()
    server.route(pictures.route("p1", pictures.colours(server.blobs)))
    for body, headers in ((PNG, {"content-type": "image/png"}), ([{"image": TENSOR[0].tolist()}], {})):
        assert server.ask("POST", "/predict", body, headers)[0] == 200
    with server.client() as client:
        client.settle()
    data = b"".join(path.read_bytes() for path in server.layout.telemetry.glob("*.seg"))
    assert PNG in data
    assert TENSOR.tobytes() in data
    assert f"image file of {len(PNG)} bytes".encode() in data
    assert b"image UINT8[3,32,48]" in data


def test_a_killed_server_pays_its_shadows_what_it_owes(make):
    """Files that were answered before the kill are scored in shadow after it."""
    server = make()
    slow = "import time\n\ndef postprocess(outputs):\n    time.sleep(0.3)\n    return {'n': outputs['pixels']}\n"
    server.route(
        pictures.route("live", pictures.colours(server.blobs)),
        pictures.route("shadow", pictures.colours(server.blobs, hook=slow), "shadow"),
    )
    until(lambda: len(server.status().releases) == 2)
    for seed in range(6):
        data = (
            media.file_of(media.picture(30, 30, seed), "JPEG")
            if seed % 2
            else media.file_of(media.picture(32, 48, seed))
        )
        assert server.ask("POST", "/predict", data, {"content-type": "image/png"})[0] == 200
    pid = server.local.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.local.pid != pid)
    server.start()
    with server.client(20.0) as client:
        client.settle()
    found = server.reader().predictions(None, None)
    live, shadow = (found.filter(found["stage"] == stage) for stage in ("live", "shadow"))
    assert sorted(live["id"]) == sorted(shadow["id"])
    assert live.height == 6
    assert np.allclose(live.sort("id")["score"], shadow.sort("id")["score"])
