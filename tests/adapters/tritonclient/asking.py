"""Run in tritonclient's own environment: `python asking.py http|grpc ADDRESS [TOKEN] < calls.json`.

Does the calls one after the other with the client as it is shipped, and prints what each gave as a JSON list. A call is
an object with `do`, the name of a function here, and its arguments. An error that the client raises is a result too.
"""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import sys

import numpy as np
from tritonclient.utils import InferenceServerException

DTYPES = {"BYTES": np.object_, "FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "UINT8": np.uint8}


def in_bytes(given):
    """A text's bytes, or what it holds as base64."""
    return base64.b64decode(given[7:]) if given.startswith("base64:") else given.encode()


def told(given):
    """A result as JSON can hold it."""
    if isinstance(given, np.ndarray):
        return [told(one) for one in given.tolist()]
    return given.decode() if isinstance(given, bytes) else given


class Asking:
    def __init__(self, over, address, token):
        self.over = over
        self.address = address
        self.module = __import__(f"tritonclient.{over}", fromlist=["*"])
        options = {"concurrency": 4} if over == "http" else {}
        self.client = self.module.InferenceServerClient(address, **options)
        self.headers = {"authorization": f"Bearer {token}"} if token else None

    def health(self, model):
        client = self.client
        return [client.is_server_live(), client.is_server_ready(), client.is_model_ready(model, headers=self.headers)]

    def ready(self, model, version):
        return self.client.is_model_ready(model, version, headers=self.headers)

    def server_metadata(self):
        return self._as_json(self.client.get_server_metadata)

    def metadata(self, model, version=""):
        return self._as_json(self.client.get_model_metadata, model, version)

    def repository(self):
        return self._as_json(self.client.get_model_repository_index)

    def statistics(self, model="", version=""):
        return self._as_json(self.client.get_inference_statistics, model, version)

    def load(self, model):
        return self.client.load_model(model, headers=self.headers)

    def unload(self, model):
        return self.client.unload_model(model, headers=self.headers)

    def infer(self, model, tensors, outputs=None, **more):
        done = self.client.infer(model, self._inputs(tensors), outputs=self._outputs(outputs), **self._more(more))
        return self._result(done)

    def infer_at_once(self, model, tensors, times, outputs=None, **more):
        """`times` requests in flight together; the results in the order of the requests."""
        inputs, wanted, given = self._inputs(tensors), self._outputs(outputs), self._more(more)
        if self.over == "http":
            asked = [self.client.async_infer(model, inputs, outputs=wanted, **given) for _ in range(times)]
            return [self._result(one.get_result()) for one in asked]
        came = queue.Queue()
        for _ in range(times):
            self.client.async_infer(
                model, inputs, lambda result, error: came.put((result, error)), outputs=wanted, **given
            )
        return [self._or_error(*came.get(timeout=20)) for _ in range(times)]

    def stream(self, model, tensors, times, **more):
        """gRPC alone: `times` requests through one stream."""
        came = queue.Queue()
        self.client.start_stream(lambda result, error: came.put((result, error)), headers=self.headers)
        for number in range(times):
            self.client.async_stream_infer(model, self._inputs(tensors), request_id=str(number), **more)
        found = [self._or_error(*came.get(timeout=20)) for _ in range(times)]
        self.client.stop_stream()
        return found

    def infer_with_asyncio(self, model, tensors, times, outputs=None, **more):
        module = __import__(f"tritonclient.{self.over}.aio", fromlist=["*"])

        async def ask():
            async with module.InferenceServerClient(self.address) as client:
                asked = [
                    client.infer(model, self._inputs(tensors), outputs=self._outputs(outputs), **self._more(more))
                    for _ in range(times)
                ]
                return [self._result(one) for one in await asyncio.gather(*asked)]

        return asyncio.run(ask())

    def _more(self, more):
        return more | {"headers": self.headers} if self.headers else more

    def _as_json(self, method, *arguments):
        extra = {"as_json": True} if self.over == "grpc" else {}
        return method(*arguments, headers=self.headers, **extra)

    def _inputs(self, tensors):
        inputs = []
        for name, datatype, values, *binary in tensors:
            array = np.array([in_bytes(one) for one in values] if datatype == "BYTES" else values, DTYPES[datatype])
            tensor = self.module.InferInput(name, list(array.shape), datatype)
            if self.over == "http":
                tensor.set_data_from_numpy(array, binary_data=bool(binary and binary[0]))
            else:
                tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        return inputs

    def _outputs(self, outputs):
        if outputs is None:
            return None
        if self.over == "grpc":
            return [self.module.InferRequestedOutput(name) for name, _ in outputs]
        return [self.module.InferRequestedOutput(name, binary_data=binary) for name, binary in outputs]

    def _result(self, done):
        response = done.get_response(as_json=True) if self.over == "grpc" else done.get_response()
        names = [one["name"] for one in response["outputs"]]
        return {
            "model": response.get("model_name"),
            "version": response.get("model_version"),
            "id": response.get("id"),
            "parameters": response.get("parameters"),
            "outputs": {name: told(done.as_numpy(name)) for name in names},
            "types": {name: str(done.as_numpy(name).dtype) for name in names},
        }

    def _or_error(self, result, error):
        return refused(error) if error is not None else self._result(result)


def refused(error):
    return {"error": error.message(), "status": error.status()}


def main():
    over, address, *token = sys.argv[1:]
    asking = Asking(over, address, token[0] if token else None)
    results = []
    for call in json.load(sys.stdin):
        try:
            results.append(getattr(asking, call.pop("do"))(**call))
        except InferenceServerException as error:
            results.append(refused(error))
    asking.client.close()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
