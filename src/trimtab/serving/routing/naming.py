"""What an answer says of the release that gave it: all that is left of one whose model was replaced."""

from __future__ import annotations

from typing import NamedTuple

import orjson


class Words(NamedTuple):
    """Its system, release and model; the datatype of its decisions, empty where it makes none; how many `outputs` a
    row's scores have, and how many are `shown`; the names of its further outputs."""

    system: str
    release: str
    model: str
    decided: str
    outputs: int
    shown: int
    named: tuple[str, ...]


class ReleaseName:
    """`head`, `label_head` and `told` are what its answers are put together from, `usual` is the form of the usual one:
    id, score, label and id of a single row."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.system, self.release, self.model, self.decided, self.outputs, self.shown, self.named = words
        self.head = b'{"model_name":%b,"model_version":%b,' % (orjson.dumps(self.system), orjson.dumps(self.model))
        self.told = b'"release":%b,"model":%b' % (orjson.dumps(self.release), orjson.dumps(self.model))
        self.label_head = b']},{"name":"label","datatype":"%b","shape":[' % self.decided.encode()
        told = self.told.replace(b"%", b"%%")
        self.usual = b'%b"parameters":{"prediction_ids":["%%b"],%b},"outputs":[%b}]}' % (
            self.head.replace(b"%", b"%%"),
            told,
            b'{"name":"score","datatype":"FP32","shape":[1],"data":[%%b%b1],"data":[%%b]},'
            b'{"name":"prediction_id","datatype":"BYTES","shape":[1],"data":["%%b"]' % self.label_head,
        )

    def by_name(self) -> ReleaseName:
        """The same without its model, to tell an answer again with: it keeps nothing in memory that was replaced."""
        return self
