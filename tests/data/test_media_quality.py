"""Folders of media whose look and sound are columns, and requirements on them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageFilter
from tests.data.test_media_sources import collected, settle, spec_of

from trimtab.data.quality.measure import measure
from trimtab.data.quality.suggest import suggest
from trimtab.data.spec import ColumnRule
from trimtab.measures.media.images import image_figures
from trimtab.measures.media.sounds import sound_figures
from trimtab.records.requirement import Requirement

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def picture(seed: int, light: float = 1.0) -> Image.Image:
    """A few coloured discs."""
    dice = np.random.default_rng(seed)
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.zeros((48, 64, 3))
    for _ in range(7):
        at, wide = dice.random(2) * (48, 64), dice.uniform(4, 14)
        pixels[(y - at[0]) ** 2 + (x - at[1]) ** 2 < wide**2] = dice.uniform(40, 255, 3)
    return Image.fromarray((pixels * light).astype(np.uint8))


def ask(metric: str, comparison: str, limit: float, *columns: str, **more: Any) -> Requirement:
    return Requirement(metric=f"data.{metric}", comparison=comparison, limit=limit, columns=columns, **more)  # type: ignore[arg-type]


def save(image: Image.Image, path: Path, **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    settle(path)


def test_pictures_are_judged_by_how_they_look(tmp_path: Path) -> None:
    for n in range(8):
        save(picture(n), tmp_path / "p" / f"{n}.png")
    save(picture(3).resize((128, 96)), tmp_path / "p" / "again.png")
    save(picture(50, light=0.02), tmp_path / "p" / "dark.png")
    save(picture(51).filter(ImageFilter.GaussianBlur(5)), tmp_path / "p" / "soft.png")
    (tmp_path / "p" / "cut.png").write_bytes((tmp_path / "p" / "0.png").read_bytes()[:300])
    settle(tmp_path / "p" / "cut.png")
    spec = spec_of("p/*.png", {"measured": True}, valid=(ColumnRule(column="brightness", low=0.02, high=0.98),))
    store, _ = collected(tmp_path, spec)
    rows = store.read()
    refused = store.quarantined()
    assert rows.height == 10
    assert sorted(refused.reasons.values()) == [1, 1]
    kept = rows.filter(rows["path"] == "p/3.png").row(0, named=True)
    told = image_figures(np.asarray(picture(3)))
    assert kept["hash"] == told.hash
    assert kept["sharpness"] == pytest.approx(told.sharpness)
    verdicts = measure(
        rows,
        spec,
        [
            ask("duplicates", "<=", 0.01, "hash", distance=5),
            ask("minimum", ">=", 50.0, "sharpness"),
            ask("validity", ">=", 0.99, "brightness"),
            ask("corrupt", "<=", 0.01),
        ],
        now=NOW,
        quarantined=refused.reasons,
    )
    assert [verdict.status for verdict in verdicts] == ["broken"] * 4
    assert verdicts[0].figure == pytest.approx(1 / 10)
    assert verdicts[3].figure == pytest.approx(1 / 11)


def test_sounds_are_judged_by_how_they_sound(tmp_path: Path) -> None:
    time = np.arange(16_000) / 8_000
    sounds = {
        "good": 0.3 * np.sin(2 * np.pi * 440 * time) * (time % 0.5 < 0.3),
        "cut": np.clip(3 * np.sin(2 * np.pi * 440 * time), -1, 1),
        "still": np.zeros(16_000),
    }
    (tmp_path / "s").mkdir()
    for name, samples in sounds.items():
        soundfile.write(tmp_path / "s" / f"{name}.wav", samples, 8_000, subtype="FLOAT")
        settle(tmp_path / "s" / f"{name}.wav")
    spec = spec_of("s/*.wav", {"measured": True}, valid=(ColumnRule(column="loudness", low=-60.0),))
    store, _ = collected(tmp_path, spec)
    rows = {row["path"]: row for row in store.read().to_dicts()}
    assert set(rows) == {"s/good.wav", "s/cut.wav"}
    assert rows["s/cut.wav"]["clipping"] > 0.5
    told = sound_figures(sounds["good"].astype(np.float32), 8_000)
    assert rows["s/good.wav"]["loudness"] == pytest.approx(told.loudness)
    assert rows["s/good.wav"]["silence"] == pytest.approx(told.silence)
    (verdict,) = measure(store.read(), spec, [ask("maximum", "<=", 0.01, "clipping")], now=NOW, quarantined={})
    assert verdict.status == "broken"


def test_figures_of_media_are_suggested_like_any_other(tmp_path: Path) -> None:
    for n in range(120):
        save(picture(n), tmp_path / "p" / f"{n}.png")
    spec = spec_of("p/*.png", {"measured": True})
    store, _ = collected(tmp_path, spec)
    told = suggest(store.read(), spec, now=NOW)
    ruled = {rule.column for rule in told.valid}
    assert {"brightness", "contrast", "sharpness", "entropy", "hash"} <= ruled
    assert any(r.metric == "data.mean" and r.columns == ("brightness",) for r in told.requirements)
