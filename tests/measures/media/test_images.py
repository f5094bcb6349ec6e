"""Figures of pictures against pictures whose figures are known, and a hash that forgives what eyes forgive."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trimtab.measures.media.images import brightness, contrast, entropy, image_figures, look_hash, luma, sharpness

Picture = NDArray[np.uint8]


def scene(seed: int, rows: int = 96, columns: int = 128) -> Picture:
    """Some soft blobs of light, [rows, columns, 3]."""
    dice = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns]
    light = np.zeros((rows, columns))
    for _ in range(6):
        at, wide = dice.random(2), dice.uniform(0.05, 0.25)
        light += dice.uniform(0.3, 1) * np.exp(
            -((y / rows - at[0]) ** 2 + (x / columns - at[1]) ** 2) / (2 * wide * wide)
        )
    light /= light.max()
    return np.repeat((light * 230).astype(np.uint8)[:, :, None], 3, axis=2)


def apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_one_colour_has_no_contrast() -> None:
    found = image_figures(np.full((20, 30, 3), 255, np.uint8))
    assert (found.width, found.height, found.aspect) == (30, 20, 1.5)
    assert found.brightness == pytest.approx(1.0)
    assert found.contrast == pytest.approx(0.0, abs=1e-9)
    assert found.sharpness == pytest.approx(0.0, abs=1e-9)
    assert found.entropy == 0.0
    assert found.hash == "0" * 16


def test_half_black_half_white() -> None:
    grey = luma(np.repeat(np.array([[0, 255]], np.uint8), 10, axis=0))
    assert brightness(grey) == pytest.approx(0.5)
    assert contrast(grey) == pytest.approx(0.5)
    assert entropy(grey) == pytest.approx(1.0)


def test_all_levels_alike_have_eight_bits() -> None:
    assert entropy(luma(np.arange(256, dtype=np.uint8).reshape(16, 16))) == pytest.approx(8.0)


def test_luma_weighs_colours_as_eyes_do() -> None:
    pure = np.eye(3, dtype=np.uint8).reshape(1, 3, 3) * 255
    assert luma(pure).ravel() == pytest.approx([0.299, 0.587, 0.114])
    assert luma(np.full((2, 2), 65_535, np.uint16)) == pytest.approx(1.0)
    assert luma(np.full((2, 2, 1), 0.25)) == pytest.approx(0.25)


def test_laplacian_by_hand() -> None:
    grey = np.zeros((5, 5))
    grey[2, 2] = 1.0
    inner = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    assert sharpness(grey) == pytest.approx(inner.var() * 255**2)
    assert sharpness(np.ones((2, 9))) == 0.0


@given(st.integers(0, 10_000))
def test_blur_lowers_sharpness(seed: int) -> None:
    dice = np.random.default_rng(seed)
    grey = dice.random((24, 24))
    blurred = (grey + np.roll(grey, 1, 0) + np.roll(grey, 1, 1) + np.roll(grey, (1, 1), (0, 1))) / 4
    assert sharpness(blurred) < sharpness(grey)


@given(st.integers(0, 10_000), st.floats(0.5, 1.0), st.floats(0, 0.1))
def test_dimming_moves_brightness_and_contrast_alone(seed: int, gain: float, shift: float) -> None:
    grey = luma(scene(seed))
    changed = grey * gain + shift
    assert brightness(changed) == pytest.approx(brightness(grey) * gain + shift)
    assert contrast(changed) == pytest.approx(contrast(grey) * gain)
    assert sharpness(changed) == pytest.approx(sharpness(grey) * gain**2)
    assert apart(look_hash(changed), look_hash(grey)) <= 1


@given(st.integers(0, 10_000))
def test_hash_forgives_size_and_noise(seed: int) -> None:
    picture = scene(seed)
    own = look_hash(luma(picture))
    assert apart(own, look_hash(luma(picture[::2, ::2]))) <= 8
    noisy = picture + np.random.default_rng(seed).integers(0, 8, picture.shape).astype(np.uint8)
    assert apart(own, look_hash(luma(noisy))) <= 8


def test_hash_tells_pictures_apart() -> None:
    hashes = [look_hash(luma(scene(seed))) for seed in range(40)]
    distances = [apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 8
    assert 24 < np.mean(distances) < 36


@pytest.mark.parametrize("shape", [(0, 3), (4,), (2, 2, 3, 1), (3, 0, 3)])
def test_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no picture"):
        image_figures(np.zeros(shape))
