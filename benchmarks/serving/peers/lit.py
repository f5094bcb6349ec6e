"""LitServe: batches of up to 64 gathered for a millisecond; WORKERS copies of the model, APIS front processes."""

import os
from typing import Annotated

import litserve
import numpy as np
from fastapi import Body
from scoring import DTYPE, SHAPE, Scoring

RAW = os.environ.get("RAW") == "1"


class Model(litserve.LitAPI):
    """Scores of `{"input": [...]}`, or of one row as bytes."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        self.score = Scoring()

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.score(rows)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[float]]:
        return {"output": output.tolist()}


class Json(Model):
    """Rows as JSON."""

    def decode_request(self, request: dict[str, list[float]]) -> np.ndarray:
        return np.array(request["input"], dtype=DTYPE)


class Raw(Model):
    """Rows as bytes."""

    def decode_request(self, request: Annotated[bytes, Body()]) -> np.ndarray:
        return np.frombuffer(request, DTYPE).reshape(SHAPE)


if __name__ == "__main__":
    api = (Raw if RAW else Json)(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]), fast_queue=True, track_requests=False
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["APIS"]),
        log_level="warning",
        generate_client_file=False,
    )
