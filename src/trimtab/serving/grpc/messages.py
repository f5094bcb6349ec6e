"""The protocol's messages, made from the compiled `open_inference.proto` when the server starts."""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"


class Messages:
    """The message classes by name, from a descriptor pool of their own, so that another copy of the protocol in the
    same process (a client's) does no harm."""

    def __init__(self) -> None:
        found = descriptor_pb2.FileDescriptorSet.FromString(
            resources.files(__package__).joinpath("open_inference.binpb").read_bytes()
        )
        pool = descriptor_pool.DescriptorPool()
        for file in found.file:
            pool.Add(file)
        self.service = pool.FindServiceByName(SERVICE)
        self._classes: dict[str, Any] = {
            name: message_factory.GetMessageClass(descriptor)
            for file in found.file
            for name, descriptor in pool.FindFileByName(file.name).message_types_by_name.items()
        }

    def __getitem__(self, name: str) -> Any:
        """The class of the message `name`, such as `ModelInferRequest`."""
        return self._classes[name]
