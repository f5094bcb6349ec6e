"""Image files become the declared tensor, and no file does harm."""

from __future__ import annotations

import io
import resource
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.inference.tensors import media

from trimtab.errors import PermanentError
from trimtab.inference.tensors.images import ImageDecoder, sniff
from trimtab.inference.tensors.refused import InputError

AS_IT_IS = media.image_input((-1, -1, 3), size=None, layout="HWC")


def decoded(data: bytes, **spec: object) -> np.ndarray:
    return ImageDecoder(media.image_input((-1, -1, 3), size=None, layout="HWC", **spec)).decode(data)[0]


def refused(data: bytes, **spec: object) -> InputError:
    with pytest.raises(InputError) as raised:
        decoded(data, **spec)
    return raised.value


@pytest.mark.parametrize(("form", "options", "near"), [
    ("PNG", {}, 0), ("BMP", {}, 0), ("WEBP", {"lossless": True}, 0),
    ("WEBP", {"quality": 95}, 8), ("JPEG", {"quality": 95}, 8),
])  # fmt: skip
def test_every_format_gives_its_pixels(form, options, near):
    data = media.file_of(media.picture(), form, **options)
    assert sniff(data) == form
    found = decoded(data)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - media.picture()).mean() <= near / 4
    assert np.abs(found.astype(int) - media.picture()).max() <= max(near * 4, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_camera_that_was_turned_makes_no_difference(orientation, form):
    upright = media.picture(40, 64)
    turns = {1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
             5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, 1),
             7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
             8: lambda p: np.rot90(p, -1)}  # fmt: skip
    data = media.lying(orientation, form, np.ascontiguousarray(turns[orientation](upright)))
    found = decoded(data)
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # Pillow's word on it, as a server's log would have it
def test_damaged_metadata_leaves_the_picture_alone():
    data = media.lying(6)
    start = data.index(b"Exif\0\0") + 14
    broken = data[:start] + b"\xff" * 12 + data[start + 12 :]
    assert decoded(broken).shape == (60, 80, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_kind_of_pixel_becomes_the_declared_one(mode):
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "PA":
        image = Image.fromarray(grey).convert("P")
        image.info["transparency"] = bytes(range(256))
    else:
        image = Image.fromarray(grey).convert(mode)
    form = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    data = media.file_of(image, form)
    for colors, bands in (("RGB", 3), ("L", 1)):
        shape = (-1, -1, bands)
        found = ImageDecoder(media.image_input(shape, size=None, layout="HWC", colors=colors)).decode(data)[0]
        assert found.shape == (64, 64, bands)
        if mode != "1":
            assert np.abs(found[:, :, 0].astype(int) - grey).max() <= 4


def test_layout_colours_and_numbers_are_as_declared():
    pixels = media.picture()
    data = media.file_of(pixels)
    chw = ImageDecoder(media.image_input((3, -1, -1), size=None)).decode(data)[0]
    assert np.array_equal(chw, pixels.transpose(2, 0, 1))
    assert chw.flags.c_contiguous
    bgr = ImageDecoder(media.image_input((-1, -1, 3), size=None, layout="HWC", colors="BGR")).decode(data)[0]
    assert np.array_equal(bgr, pixels[:, :, ::-1])
    numbers = {"scale": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    for datatype, dtype in (("FP32", np.float32), ("FP16", np.float16)):
        made = ImageDecoder(media.image_input((3, -1, -1), datatype, size=None, **numbers)).decode(data)[0]
        wanted = ((pixels / 255 - numbers["mean"]) / numbers["std"]).transpose(2, 0, 1)
        assert made.dtype == dtype
        assert np.allclose(made, wanted, atol=1e-5 if dtype is np.float32 else 3e-3)


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["stretch", "crop", "pad"]))
def test_any_size_fits_and_points_find_their_way_back(high, wide, fit):
    decoder = ImageDecoder(media.image_input((3, 32, 48), fit=fit))
    pixels = np.zeros((high, wide, 3), np.uint8)
    array, placed = decoder.decode(media.file_of(pixels))
    assert array.shape == (3, 32, 48)
    assert (placed.width, placed.height) == (wide, high)
    point = np.array([[wide * 0.4, high * 0.4, wide * 0.6, high * 0.6]], np.float32)
    seen = point * np.float32([placed.across, placed.down] * 2) + np.float32([placed.left, placed.top] * 2)
    assert np.allclose(placed.back(seen.astype(np.float32)), point, atol=1e-3 * max(wide, high))


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("side", [200, 1600])
def test_a_mark_is_found_again_where_it_was(fit, form, side):
    """A white mark on black: where the tensor is brightest, taken back, is where it was drawn. Large JPEGs are halved
    by their decoder, which must not move anything."""
    pixels = np.zeros((side, side * 3 // 2 + 7, 3), np.uint8)
    top, left, size = side // 2, side // 2, side // 10
    pixels[top : top + size, left : left + size] = 255
    array, placed = ImageDecoder(media.image_input((3, 96, 96), size=(96, 96), fit=fit)).decode(
        media.file_of(pixels, form)
    )
    rows, columns = np.nonzero(array[0] > 128)
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    slack = 1.0 + 1.0 / min(placed.across, placed.down)
    assert np.abs(placed.back(box) - np.array([left, top, left + size, top + size])).max() <= slack


def test_a_large_photo_is_nearly_what_it_would_be_decoded_whole():
    pixels = media.picture(900, 1200)
    data = media.file_of(pixels, "JPEG", quality=95)
    ours = ImageDecoder(media.image_input((3, 96, 128), size=(96, 128))).decode(data)[0]
    whole = Image.open(io.BytesIO(data)).resize((128, 96), Image.Resampling.BILINEAR)
    assert np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(whole)).max() <= 3


def test_what_is_padded_has_the_declared_colour():
    tensor = media.image_input((3, 40, 40), size=(40, 40), fit="pad", fill=114)
    array, placed = ImageDecoder(tensor).decode(media.file_of(np.full((10, 20, 3), 7, np.uint8)))
    assert (array[:, :10] == 114).all()
    assert (array[:, 10:30] == 7).all()
    assert (array[:, 30:] == 114).all()
    assert (placed.left, placed.top) == (0, 10)


@pytest.mark.parametrize(("data", "message"), [
    (b"", "no image that can be read; expected JPEG, PNG, WEBP, BMP"),
    (b"hello, this is a text and no picture", "no image that can be read"),
    (b"GIF89a" + b"\0" * 40, "the image is GIF; expected JPEG, PNG"),
    (b"II*\0" + b"\0" * 40, "the image is TIFF"),
    (b"\0\0\0\x20ftypheic" + b"\0" * 40, "the image is HEIC"),
    (b"%PDF-1.7" + b"\0" * 40, "the image is PDF"),
])  # fmt: skip
def test_other_kinds_are_refused_by_name(data, message):
    error = refused(data)
    assert message in error.message
    assert error.why == "unsupported"


def test_a_format_that_is_not_declared_is_refused():
    error = refused(media.file_of(media.picture(), "BMP"), formats=("JPEG", "PNG"))
    assert (error.message, error.why) == ("the image is BMP; expected JPEG, PNG", "unsupported")


def test_limits_say_their_figures():
    data = media.file_of(media.picture())
    error = refused(data, max_bytes=1000)
    assert (error.message, error.why) == (f"the image has {len(data):,} bytes; at most 1,000", "too_large")
    error = refused(data, max_pixels=4000)
    assert (error.message, error.why) == ("the image has 80 x 60 pixels; at most 4,000", "too_large")


def bounded(data: bytes, megabytes: int = 60, seconds: float = 1.0) -> InputError:
    """It is refused at once and without taking memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    error = refused(data)
    assert time.process_time() - began < seconds
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < megabytes
    return error


def test_a_bomb_of_pixels_is_seen_in_its_head():
    bomb = media.png_bomb()
    assert len(bomb) < 100_000
    error = bounded(bomb)
    assert (error.message, error.why) == ("the image has 400,000,000 pixels; at most 32,000,000", "too_large")
    smaller = bounded(media.png_bomb(6400))
    assert (smaller.message, smaller.why) == ("the image has 6,400 x 6,400 pixels; at most 32,000,000", "too_large")
    for claimed in (media.jpeg_of_size(65_000, 65_000), media.png(2**31 - 1, 2**31 - 1), media.png(1, 2**31 - 1)):
        assert bounded(claimed).why in ("too_large", "invalid")
    webp = media.file_of(Image.new("RGB", (6_000, 6_000)), "WEBP", lossless=True, quality=0, method=0)
    assert len(webp) < 100_000
    assert "6,000 x 6,000 pixels" in bounded(webp).message
    bmp = bytearray(media.file_of(media.picture(4, 4), "BMP"))
    bmp[18:26] = (60_000).to_bytes(4, "little") * 2
    assert "3,600,000,000 pixels" in bounded(bytes(bmp)).message


def test_a_picture_that_claims_more_than_it_has_is_damaged():
    assert "damaged" in bounded(media.png(3000, 3000)).message
    webp = media.file_of(media.picture(300, 300), "WEBP")
    assert "damaged" in bounded(webp[:60]).message


def test_texts_and_profiles_that_unpack_without_end_are_refused():
    endless = zlib.compress(b"\0" * 200_000_000, 9)
    for kind in (b"zTXt", b"iCCP"):
        bomb = media.png(8, 8, media.chunk(kind, b"name\0\0" + endless), data=zlib.compress(b"\0\0" * 8))
        began = time.process_time()
        try:
            assert decoded(bomb).shape == (8, 8, 3)  # passing over it is as good
        except InputError as error:
            assert "PNG" in error.message
        assert time.process_time() - began < 1.0


def test_frames_are_counted():
    frames = [Image.fromarray(media.picture(20, 20, seed)) for seed in range(5)]
    for form in ("PNG", "WEBP"):
        data = media.file_of(frames[0], form, save_all=True, append_images=frames[1:])
        error = refused(data)
        assert (error.message, error.why) == ("the image has 5 frames; at most 1", "too_large")
        assert decoded(data, max_frames=5).shape == (20, 20, 3)


def test_a_picture_that_is_painted_without_end_is_refused():
    error = bounded(media.jpeg_of_scans(2000))
    assert (error.message, error.why) == ("the JPEG image has more than 100 scans", "too_large")
    assert decoded(media.file_of(media.picture(), "JPEG", progressive=True)).shape == (60, 80, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_file_that_was_cut_is_refused(form):
    data = media.file_of(media.picture(), form)
    for part in (0.98, 0.9, 0.5, 0.1):
        cut = data[: int(len(data) * part)]
        error = refused(cut)
        assert form in error.message or "no image" in error.message


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300)
@given(st.data())
def test_no_file_does_harm(data):
    """Bytes changed, cut or put in anywhere give a picture or a refusal, and nothing else."""
    form = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]))
    whole = bytearray(
        media.lying(data.draw(st.integers(0, 9)), form, media.picture(12, 20))
        if form != "BMP"
        else media.file_of(media.picture(12, 20), form)
    )
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        what = data.draw(st.sampled_from(["change", "cut", "insert", "repeat"]))
        if what == "change":
            whole[place] = data.draw(st.integers(0, 255))
        elif what == "cut":
            del whole[place : place + data.draw(st.integers(1, 40))]
        elif what == "insert":
            whole[place:place] = data.draw(st.binary(min_size=1, max_size=8))
        else:
            whole[place:place] = whole[place : place + 30]
        if not whole:
            break
    try:
        found = ImageDecoder(AS_IT_IS).decode(bytes(whole))[0]
    except InputError as error:
        assert error.message
    else:
        assert found.dtype == np.uint8
        assert found.shape[2] == 3


@pytest.mark.parametrize(("tensor", "message"), [
    (media.image_input((3, 32, 32)), "gives [3, 32, 48], and its shape is [3, 32, 32]"),
    (media.image_input((32, 48)), "gives [3, 32, 48]"),
    (media.image_input((3, 32, 48), size=None), "is fixed"),
    (media.image_input((1, -1, -1), size=None), "gives [3, -1, -1]"),
    (media.image_input(datatype="INT64"), "becomes UINT8, FP16 or FP32, not INT64"),
    (media.image_input(scale=1 / 255), "UINT8 takes pixels as they are"),
    (media.image_input(datatype="FP32", mean=(0.5,)), "one number for each of 3 channels"),
    (media.image_input(datatype="FP32", std=(1.0, 0.0, 1.0)), "std above 0"),
])  # fmt: skip
def test_a_declaration_that_contradicts_itself_is_refused(tensor, message):
    with pytest.raises(PermanentError) as raised:
        ImageDecoder(tensor)
    assert message in str(raised.value)
