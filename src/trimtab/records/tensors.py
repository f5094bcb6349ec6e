"""What a model takes and gives beyond tables: named tensors, images and audio, and how outputs are read.

A row is one example: shapes are those of a row, without the batch dimension, and -1 stands for any size.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from trimtab.records.base import Record

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
ImageFormat = Literal["JPEG", "PNG", "WEBP", "BMP"]
AudioFormat = Literal["WAV", "FLAC", "OGG", "MP3"]
BoxForm = Literal["xyxy", "xywh", "cxcywh"]


class ImageInput(Record, kw_only=True):
    """How the file of an image becomes the tensor, in training as in serving.

    The EXIF orientation is applied, then the picture is brought to `size` (height, width; None: as it is): `stretch`
    changes its proportions, `crop` fills the size and cuts what stands out, `pad` fits into it and fills the rest with
    `fill`. A value is then `(pixel * scale - mean) / std`, with `mean` and `std` one a channel (empty: 0 and 1); a
    UINT8 tensor takes the pixels as they are. `layout` is the order of the axes; `L` is grey and has one channel.
    Limits hold for the file: `max_bytes`, `max_pixels` (from its header, before anything is decoded), `max_frames`.
    """

    size: tuple[int, int] | None = None
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    colors: Literal["RGB", "BGR", "L"] = "RGB"
    layout: Literal["CHW", "HWC"] = "CHW"
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    fill: int = 0
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    formats: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "BMP")
    max_bytes: int = 8 * 2**20
    max_pixels: int = 32_000_000
    max_frames: int = 1


class AudioInput(Record, kw_only=True):
    """How the file of a sound becomes the tensor of samples from -1 to 1, in training as in serving.

    Channels are mixed to one and resampled to `rate` (samples a second). Where the tensor's length is fixed, a shorter
    sound is followed by silence, and a longer one is cut (`cut`) or refused. Limits hold for the file: `max_bytes`,
    `max_seconds`, `max_channels`, and its own rate between `min_rate` and `max_rate`.
    """

    rate: int
    cut: bool = False
    formats: tuple[AudioFormat, ...] = ("WAV", "FLAC", "OGG", "MP3")
    max_bytes: int = 8 * 2**20
    max_seconds: float = 60.0
    max_channels: int = 8
    min_rate: int = 4_000
    max_rate: int = 192_000


class TensorInput(Record, kw_only=True):
    """One input of the graph, under the graph's own name. With `image` or `audio` a caller may send files instead."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    image: ImageInput | None = None
    audio: AudioInput | None = None


class TensorOutput(Record, kw_only=True):
    """One output of the graph, under the graph's own name.

    `apply` is done to it first: `sigmoid`, `softmax` over the first axis of a row, `l2` (length 1, of the whole row).
    With `threshold` the answer is then whether a value reaches it (BOOL). `answered` false keeps it to ourselves.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    apply: Literal["", "softmax", "sigmoid", "l2"] = ""
    threshold: float | None = None
    answered: bool = True


class Detections(Record, kw_only=True):
    """How the graph's outputs become boxes: answered as `boxes` (x1, y1, x2, y2), `scores`, `labels` and `count`.

    `boxes` names the output [n, 4], `scores` that of [n] or [n, classes], `classes` that of the class numbers [n]
    (empty: the best class of `scores`). Coordinates are in pixels of the input, or from 0 to 1 where `relative`; they
    are answered in pixels of the picture that was sent. Boxes below `threshold` go, then those that overlap a better
    one of their class by more than `overlap` (intersection over union), then all but the best `most`.
    """

    boxes: str
    scores: str
    classes: str = ""
    form: BoxForm = "xyxy"
    relative: bool = False
    threshold: float = 0.25
    overlap: float = 0.45
    most: int = 100


class Recognition(Record, kw_only=True):
    """How similarities to those enrolled (the signature's classes) become an identity: answered as `identity` and
    `similarity`.

    `similarities` names the output [enrolled]. The most similar one is answered where its similarity reaches
    `threshold`, else `stranger`.
    """

    similarities: str
    threshold: float
    stranger: str = "stranger"


class OutputReading(Record, kw_only=True):
    """What is declared of one output that a trained graph will have: see TensorOutput."""

    name: str
    apply: Literal["", "softmax", "sigmoid", "l2"] = ""
    threshold: float | None = None
    answered: bool = True


class MediaModel(Record, kw_only=True):
    """What is declared of a model of images or sounds that is to be trained: its `inputs`, each called as the column
    that holds the files and as the graph's input, and how its outputs are read. `classes` are the names of boxes' or
    pixels' classes, in the order of their numbers. For recognition `threshold` is the similarity from which somebody is
    taken to be known (None: what `train` returns says it), and `stranger` the label of those who are not enrolled."""

    inputs: tuple[TensorInput, ...]
    outputs: tuple[OutputReading, ...] = ()
    classes: tuple[str, ...] = ()
    detections: Detections | None = None
    threshold: float | None = None
    stranger: str = "stranger"


class Tensors(Record, kw_only=True):
    """All that a model takes in and gives out as tensors. `batch` is false for a graph that takes one row at a time.
    `top` answers only the best classes, with their labels (0: all)."""

    inputs: tuple[TensorInput, ...]
    outputs: tuple[TensorOutput, ...]
    batch: bool = True
    top: int = 0
    detections: Detections | None = None
    # Left out of the JSON form when not set, so that what was written before it existed keeps its digest.
    recognition: Recognition | UnsetType = UNSET
