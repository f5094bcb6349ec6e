"""FastAPI as one would tune it: an async endpoint, orjson both ways, one thread for each session, no validation."""

import os

import numpy as np
import onnxruntime
import orjson
from fastapi import FastAPI, Request, Response

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Scores of `{"inputs": [[...], ...]}`."""
    matrix = np.array(orjson.loads(await request.body())["inputs"], dtype=np.float32)
    scores = session.run(["scores"], {"input": matrix})[0][:, 0]
    answer = orjson.dumps({"predictions": np.ascontiguousarray(scores)}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(answer, media_type="application/json")
