"""The page to try a model, in a real browser: columns filled, asked, explained, the truth told; wide, narrow, dark."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest
from tests.adapters.chromium.chrome import Chrome
from tests.serving import models, pictures
from tests.serving.conftest import Make, make  # noqa: F401 - a fixture
from tests.serving.running import Running, several

from trimtab.records.model import Column, Feature

pytestmark = pytest.mark.component
TOKEN = "sesame"
INPUTS = (*models.INPUTS, Column(name="holiday", kind="boolean"))
FEATURES = (*models.FEATURES, Feature(name="holiday", kind="category", vocabulary=("false", "true")))


def flights(server: Running) -> None:
    signature = models.signature("binary_classification", INPUTS, FEATURES)
    server.route(models.route("r1", models.bundle(server.blobs, models.sigmoid([0.001, 0.5, 1.0]), signature)))


def text(chrome: Chrome, element: str) -> str:
    return str(chrome.run(f"document.getElementById('{element}').innerText"))


def fits(chrome: Chrome) -> bool:
    """Nothing sticks out at the side."""
    return bool(chrome.run("document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_row_is_asked_and_its_truth_told(chrome: Chrome, make: Make) -> None:  # noqa: F811
    server = make()
    flights(server)
    chrome.look(1280, 800)
    chrome.open(f"{server.url}/")
    chrome.wait("document.querySelectorAll('.field[data-column]').length === 3")
    assert text(chrome, "system") == "flights"
    assert '-d \'{"rows":[{"distance":null,"carrier":null,"holiday":null}]}\'' in text(chrome, "curl")
    chrome.run(
        "const [distance, carrier, other, holiday] = document.querySelectorAll('#fields input, #fields select');"
        "distance.value = '1000,5'; carrier.value = '=UA'; holiday.value = 'true';"
        "document.getElementById('ask').click()"
    )
    chrome.wait("!document.getElementById('answer').hidden")
    score = 1 / (1 + np.exp(-(1.0005 + 0.5 * 2 + 1)))
    assert text(chrome, "result").split("\n")[0] == "late"
    assert f"{100 * score:.1f} %" in text(chrome, "result")
    chrome.run("[...document.querySelectorAll('#truths button')].find((one) => one.innerText === 'on time').click()")
    chrome.wait("document.getElementById('kept').innerText.startsWith('Kept')")
    (kept,) = server.reader().predictions().to_dicts()
    assert kept["label"] == 0.0
    assert kept["score"] == pytest.approx(score, abs=1e-6)
    for width, dark in ((1280, True), (390, False), (390, True)):
        chrome.look(width, 800, dark=dark)
        assert fits(chrome)
    assert chrome.complaints == []


def test_a_wrong_field_is_shown_where_it_is(chrome: Chrome, make: Make) -> None:  # noqa: F811
    server = make()
    flights(server)
    chrome.look(390, 800)
    chrome.open(f"{server.url}/try")
    chrome.wait("document.querySelectorAll('.field[data-column]').length === 3")
    chrome.run("document.querySelector('#fields input').value = 'far'; document.getElementById('ask').click()")
    chrome.wait("document.querySelector('.wrong')")
    assert chrome.run("document.querySelector('.wrong').dataset.column") == "distance"
    assert "expected a number or null, got 'far'" in text(chrome, "trouble")
    assert fits(chrome)


def test_a_token_is_asked_for(chrome: Chrome, make: Make) -> None:  # noqa: F811
    server = make(TOKEN, token_digest=hashlib.sha256(TOKEN.encode()).hexdigest())
    flights(server)
    chrome.open(f"{server.url}/")
    chrome.wait("!document.getElementById('login').hidden")
    for token in ("wrong", TOKEN):
        chrome.run(
            f"document.getElementById('token').value = '{token}'; document.querySelector('#login button').click()"
        )
        chrome.wait(
            "!document.getElementById('row').hidden"
            if token == TOKEN
            else "document.getElementById('login-why').innerText.includes('not known')"
        )
    assert "authorization: Bearer $TRIMTAB_TOKEN" in text(chrome, "curl")
    assert TOKEN not in str(chrome.run("document.documentElement.outerHTML"))
    assert chrome.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0


def test_a_picture_is_sent_as_a_file(chrome: Chrome, make: Make) -> None:  # noqa: F811
    server = make()
    server.route(pictures.route("r1", pictures.colours(server.blobs)))
    chrome.look(900, 800)
    chrome.open(f"{server.url}/")
    chrome.wait("document.querySelector('#fields input[type=file]')")
    data = base64.b64encode(pictures.PNG).decode()
    chrome.run(
        f"const bytes = Uint8Array.from(atob('{data}'), (one) => one.charCodeAt(0));"
        "const chosen = new DataTransfer(); chosen.items.add(new File([bytes], 'p.png', { type: 'image/png' }));"
        "const input = document.querySelector('#fields input'); input.files = chosen.files;"
        "input.dispatchEvent(new Event('change', { bubbles: true })); document.getElementById('ask').click()"
    )
    chrome.wait("!document.getElementById('answer').hidden")
    chrome.wait("document.querySelector('.shown img').naturalWidth > 0")
    assert "--data-binary '@p.png'" in text(chrome, "curl")
    (kept,) = server.reader().predictions().to_dicts()
    assert kept["score"] is not None or kept["id"]
    assert text(chrome, "result") != ""
    assert chrome.complaints == []


def test_one_of_several_systems_is_chosen(chrome: Chrome, tmp_path: Path) -> None:
    made = {name: models.sigmoid([0.001, 0.5]) for name in ("flights", "trains")}
    with several(tmp_path, made) as url:
        chrome.open(url)
        chrome.wait("document.querySelectorAll('#systems a').length === 2")
        chrome.run("document.querySelectorAll('#systems a')[1].click()")
        chrome.wait("document.title === 'Try trains' && !document.getElementById('row').hidden")
        assert "/predict/trains'" in text(chrome, "curl")
        chrome.run("document.getElementById('ask').click()")
        chrome.wait("document.getElementById('meta').innerText.includes('trains-1')")
        chrome.run("document.querySelector('#truths button').click()")
        chrome.wait("document.getElementById('kept').innerText.startsWith('Kept')")
        assert chrome.complaints == []
