"""Crops of two photos that come with scikit-learn, with damage drawn over them: scratches to segment, stains to detect.

Crops of the photos' left parts come first and of their right parts last: a model is judged on what it never saw.
"""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
from PIL import Image, ImageDraw

SIDE = 96
COUNT = 240
KINDS = ("hole", "stain")


@cache
def photo(name):
    """One of scikit-learn's sample images [height, width, 3]."""
    from sklearn.datasets import load_sample_image

    return load_sample_image(name)


def crop(number):
    """A square of a photo: the last third of the numbers from its right part."""
    dice = np.random.default_rng(1000 + number)
    whole = photo(("china.jpg", "flower.jpg")[number % 2])
    edge = whole.shape[1] * 6 // 10
    whole = whole[:, :edge] if number < 2 * COUNT // 3 else whole[:, edge:]
    top, left = (int(dice.integers(0, side - SIDE)) for side in whole.shape[:2])
    return whole[top : top + SIDE, left : left + SIDE].copy(), dice


def scratched(number):
    """A crop with up to two scratches, and the mask of them: 1 where it is scratched."""
    picture, dice = crop(number)
    mask = Image.new("L", (SIDE, SIDE))
    for _ in range(int(dice.integers(0, 3))):
        first, last = dice.integers(4, SIDE - 4, 2), dice.integers(4, SIDE - 4, 2)
        ImageDraw.Draw(mask).line([*map(int, first), *map(int, last)], fill=1, width=int(dice.integers(2, 4)))
    scratch = np.array(mask) == 1
    picture[scratch] = np.clip(245 + dice.normal(0, 6, (int(scratch.sum()), 3)), 0, 255)
    return picture, np.array(mask)


def damaged(number):
    """A crop with up to three round marks, and a box for each: dark holes and blue stains."""
    picture, dice = crop(number)
    image, boxes = Image.fromarray(picture), []
    for _ in range(int(dice.integers(0, 4))):
        kind = KINDS[int(dice.integers(0, 2))]
        wide, high = (int(side) for side in dice.integers(12, 26, 2))
        x, y = int(dice.integers(0, SIDE - wide)), int(dice.integers(0, SIDE - high))
        if any(x < b[2] and b[0] < x + wide and y < b[3] and b[1] < y + high for _, b in boxes):
            continue
        color = (12, 10, 14) if kind == "hole" else (30, 60, 225)
        ImageDraw.Draw(image).ellipse([x, y, x + wide - 1, y + high - 1], fill=color)
        boxes.append((kind, (x, y, x + wide, y + high)))
    noise = dice.normal(0, 4, (SIDE, SIDE, 3))
    labels = [{"label": kind, "box": [edge / SIDE for edge in box]} for kind, box in boxes]
    return np.clip(np.array(image) + noise, 0, 255).astype(np.uint8), labels


def png(pixels):
    """Pixels as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def taken(number):
    """When a crop was taken: six a day, the last one a day ago."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4 * (COUNT - number) + 24)


def scratches(since, until):
    """The source of masks."""
    rows = [(number, *scratched(number)) for number in range(COUNT)]
    return _between(
        {
            "photo": [f"p{number:03d}" for number, _, _ in rows],
            "taken": [taken(number) for number, _, _ in rows],
            "picture": [png(picture) for _, picture, _ in rows],
            "mask": [png(mask.astype(np.uint8)) for _, _, mask in rows],
        },
        since,
        until,
    )


def marks(since, until):
    """The source of boxes."""
    rows = [(number, *damaged(number)) for number in range(COUNT)]
    return _between(
        {
            "photo": [f"p{number:03d}" for number, _, _ in rows],
            "taken": [taken(number) for number, _, _ in rows],
            "picture": [png(picture) for _, picture, _ in rows],
            "boxes": [json.dumps(boxes) for _, _, boxes in rows],
        },
        since,
        until,
    )


def _between(columns, since, until):
    frame = pl.DataFrame(columns)
    return frame.filter((pl.col("taken") <= until) & (pl.lit(since is None) | (pl.col("taken") > (since or until))))
