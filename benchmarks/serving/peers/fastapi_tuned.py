"""FastAPI as one would tune it: an async endpoint, orjson both ways, no validation; raw bytes at /raw."""

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from scoring import DTYPE, SHAPE, Scoring

score = Scoring()
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Scores of `{"inputs": [[...], ...]}`."""
    return answer(np.array(orjson.loads(await request.body())["inputs"], dtype=DTYPE))


@app.post("/raw")
async def raw(request: Request) -> Response:
    """Scores of rows that came as bytes."""
    return answer(np.frombuffer(await request.body(), DTYPE).reshape(-1, *SHAPE))


def answer(rows: np.ndarray) -> Response:
    told = orjson.dumps({"predictions": score(rows)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(told, media_type="application/json")
