"""MLServer: a runtime of one's own, as its documentation shows it, in one process with adaptive batching."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from scoring import DTYPE, Scoring


class Model(MLModel):
    """Scores of an Open Inference Protocol request."""

    async def load(self) -> bool:
        self.score = Scoring()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(DTYPE, copy=False)
        scores = NumpyCodec.encode_output("scores", self.score(rows))
        return InferenceResponse(model_name=self.name, outputs=[scores])
