"""BentoML: a service of two workers, batching as WORKERS and BATCH say, with its access log and metrics off."""

import os

import bentoml
import numpy as np
from scoring import DTYPE, Scoring


@bentoml.service(
    workers=int(os.environ["WORKERS"]),
    traffic={"timeout": 60, "max_concurrency": 100_000},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Model:
    """Scores of `{"inputs": [[...], ...]}`."""

    def __init__(self) -> None:
        self.score = Scoring()

    @bentoml.api(batchable=os.environ["BATCH"] == "1", batch_dim=0, max_batch_size=64, max_latency_ms=1000)
    async def predict(self, inputs: np.ndarray) -> np.ndarray:
        return self.score(inputs.astype(DTYPE, copy=False))
