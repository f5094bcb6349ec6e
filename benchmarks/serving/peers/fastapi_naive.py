"""FastAPI as the tutorials have it: a Pydantic model, a plain function, the framework's own JSON."""

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from scoring import DTYPE, Scoring

score = Scoring()
app = FastAPI()


class Rows(BaseModel):
    """Rows of numbers."""

    inputs: list[list[float]]


@app.post("/predict")
def predict(rows: Rows) -> dict[str, list[list[float]]]:
    """Scores of `{"inputs": [[...], ...]}`."""
    return {"predictions": score(np.array(rows.inputs, dtype=DTYPE)).tolist()}
