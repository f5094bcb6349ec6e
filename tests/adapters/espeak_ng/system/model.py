"""A recogniser of isolated phrases: a mel spectrogram by convolution and one linear layer, in one ONNX graph.

It knows whole phrases only, and clips that begin where the speech does.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from phrases import PHRASES
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from trimtab import OnnxModel

RATE, WINDOW, STEP, MELS, POOL = 8000, 256, 100, 26, 5


def waves():
    """A window's cosines and sines as kernels [2 * bins, 1, samples]."""
    angles = 2 * np.pi * np.outer(np.arange(WINDOW // 2 + 1), np.arange(WINDOW)) / WINDOW
    return (np.concatenate([np.cos(angles), np.sin(angles)]) * np.hanning(WINDOW))[:, None].astype(np.float32)


def mels():
    """Triangles of equal width in mels over the bins [bins, MELS] (O'Shaughnessy 1987)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None).astype(np.float32)


def spectrogram(sounds):
    """What the graph computes before its last layer [n, features]."""
    starts = range(0, sounds.shape[1] - WINDOW + 1, STEP)
    frames = np.stack([sounds[:, start : start + WINDOW] for start in starts], axis=1)
    bins = WINDOW // 2 + 1
    waved = frames @ waves()[:, 0].T
    loud = np.log((waved[..., :bins] ** 2 + waved[..., bins:] ** 2) @ mels() + 1e-4)
    kept = loud.shape[1] // POOL * POOL
    pooled = loud[:, :kept].reshape(len(loud), -1, POOL, MELS).mean(axis=2)
    return (pooled - pooled.mean(axis=1, keepdims=True)).reshape(len(loud), -1)


def graph(weights, bias, samples):
    """Samples [n, samples] to probabilities of phrases [n, phrases]."""
    bins = WINDOW // 2 + 1
    constants = {
        "waves": waves(), "mels": mels(), "weights": weights.astype(np.float32), "bias": bias.astype(np.float32),
        "channel": np.array([1]), "split": np.array([bins, bins]), "least": np.array(1e-4, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Unsqueeze", ["content", "channel"], ["one"]),
        helper.make_node("Conv", ["one", "waves"], ["waved"], strides=[STEP]),
        helper.make_node("Mul", ["waved", "waved"], ["squared"]),
        helper.make_node("Split", ["squared", "split"], ["real", "imaginary"], axis=1),
        helper.make_node("Add", ["real", "imaginary"], ["power"]),
        helper.make_node("Transpose", ["power"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["turned", "mels"], ["bands"]),
        helper.make_node("Add", ["bands", "least"], ["above"]),
        helper.make_node("Log", ["above"], ["loud"]),
        helper.make_node("Transpose", ["loud"], ["back"], perm=[0, 2, 1]),
        helper.make_node("AveragePool", ["back"], ["pooled"], kernel_shape=[POOL], strides=[POOL]),
        helper.make_node("ReduceMean", ["pooled"], ["middle"], axes=[2], keepdims=1),
        helper.make_node("Sub", ["pooled", "middle"], ["centred"]),
        helper.make_node("Transpose", ["centred"], ["in_time"], perm=[0, 2, 1]),
        helper.make_node("Flatten", ["in_time"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["phrases"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "commands",
        [helper.make_tensor_value_info("content", TensorProto.FLOAT, ["n", samples])],
        [helper.make_tensor_value_info("phrases", TensorProto.FLOAT, ["n", len(PHRASES)])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def train(train, valid, params):
    """Fit the last layer."""
    scale = StandardScaler()
    features = scale.fit_transform(spectrogram(train.x))
    last = LogisticRegression(C=params["strength"], max_iter=300).fit(features, [PHRASES.index(one) for one in train.y])
    weights = last.coef_.T / scale.scale_[:, None]
    bias = last.intercept_ - scale.mean_ @ weights

    def native(sounds):
        logits = spectrogram(sounds) @ weights + bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    return OnnxModel(graph(weights, bias, train.x.shape[1]), native=native)


def postprocess(outputs):
    """The most likely phrase, and how likely it is."""
    best = outputs["phrases"].argmax(axis=1)
    return {"text": [PHRASES[place] for place in best], "sure": outputs["phrases"].max(axis=1)}
