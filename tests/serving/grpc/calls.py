"""A plain gRPC caller for the tests, made of the compiled protocol alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import numpy as np

from trimtab.serving.grpc.messages import SERVICE, Messages
from trimtab.serving.open_inference.binary import pack


class Caller:
    """One channel to one server."""

    def __init__(self, address: str, token: str | None = None, channel: Any = None) -> None:
        self.messages = Messages()
        self.metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self.channel = grpc.insecure_channel(address) if channel is None else channel
        self._outputs = {method.name: method.output_type.name for method in self.messages.service.methods}

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def __call__(self, method: str, message: Any = None, /, timeout: float = 10.0, **fields: Any) -> Any:
        """Calls a method, with a message or with the fields of one."""
        request = self.messages[f"{method}Request"](**fields) if message is None else message
        made = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            response_deserializer=self.messages[self._outputs[method]].FromString,
        )
        return made(request, timeout=timeout, metadata=self.metadata)

    def stream(self, requests: Iterable[Any], timeout: float = 10.0) -> Iterable[Any]:
        method = self.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer",
            request_serializer=lambda one: one.SerializeToString(),
            response_deserializer=self.messages["ModelStreamInferResponse"].FromString,
        )
        return method(iter(requests), timeout=timeout, metadata=self.metadata)

    def request(self, model: str, *tensors: tuple[str, str, Sequence[int], Any], raw: bool = False, **more: Any) -> Any:
        """A ModelInferRequest. A tensor is its name, datatype, shape and values (for `raw` as bytes)."""
        parameters = more.pop("parameters", {})
        made = self.messages["ModelInferRequest"](model_name=model, **more)
        for name, value in parameters.items():
            kinds = {str: "string_param", bool: "bool_param"}
            field = kinds.get(type(value), "int64_param")
            setattr(made.parameters[name], field, value)
        for name, datatype, shape, values in tensors:
            tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
            if raw:
                made.raw_input_contents.append(values)
            else:
                getattr(tensor.contents, FIELDS[datatype]).extend(values)
        return made


FIELDS = {"FP64": "fp64_contents", "FP32": "fp32_contents", "BYTES": "bytes_contents", "INT64": "int64_contents"}


def typed(response: Any) -> dict[str, list[Any]]:
    """The outputs of a response with typed contents."""
    return {one.name: list(getattr(one.contents, FIELDS[one.datatype])) for one in response.outputs}


def encoded(rows: Sequence[Sequence[float]]) -> tuple[str, str, list[int], bytes]:
    matrix = np.array(rows, np.float32)
    return "input", "FP32", list(matrix.shape), matrix.tobytes()


def columns(distance: Sequence[float], carrier: Sequence[str], *, raw: bool) -> list[tuple[str, str, list[int], Any]]:
    names = [one.encode() for one in carrier]
    far: Any = np.array(distance).tobytes() if raw else distance
    return [
        ("distance", "FP64", [len(distance)], far),
        ("carrier", "BYTES", [len(names)], pack(names) if raw else names),
    ]
