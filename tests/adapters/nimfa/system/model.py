"""Fisherfaces: principal components, then discriminants, as one ONNX graph with those enrolled inside.

Belhumeur, Hespanha & Kriegman 1997, "Eigenfaces vs. Fisherfaces".
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from trimtab import OnnxModel

STRANGER = "stranger"


def fit(x, names, components):
    """(middle [pixels], projection [pixels, k]) of faces [n, pixels]."""
    pca = PCA(min(components, len(x) - 1), whiten=True, random_state=0).fit(x)
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(pca.transform(x), names)
    reduced = pca.components_.T / np.sqrt(pca.explained_variance_)
    return pca.mean_, reduced @ lda.scalings_[:, : len(set(names)) - 1]


def embed(x, middle, projection):
    """Faces as points on a sphere [n, k]."""
    points = (x - middle) @ projection
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def gallery(points, names):
    """Those enrolled, and the middle of each one's points [enrolled, k]."""
    enrolled = sorted(set(names))
    middles = np.stack([points[names == name].mean(axis=0) for name in enrolled])
    return enrolled, middles / np.linalg.norm(middles, axis=1, keepdims=True)


def calibrated(x, names, strangers, components):
    """The similarity that parts known faces from strangers best (a stranger let in is as bad as twenty people
    left outside), where neither was learned from: of each person the
    newest two faces are held back."""
    order = np.concatenate([np.flatnonzero(names == name)[-2:] for name in set(names)])
    kept = np.setdiff1d(np.arange(len(x)), order)
    middle, projection = fit(x[kept], names[kept], components)
    enrolled, points = gallery(embed(x[kept], middle, projection), names[kept])
    known = embed(x[order], middle, projection) @ points.T
    own = known[np.arange(len(order)), [enrolled.index(name) for name in names[order]]]
    others = (embed(strangers, middle, projection) @ points.T).max(axis=1)
    tried = np.unique(np.concatenate([own, others]))
    cost = [(own < at).mean() + 20 * (others >= at).mean() for at in tried]
    return float(tried[int(np.argmin(cost))])


def graph(middle, projection, points, shape):
    """Faces UINT8 [n, 1, height, width] to similarities [n, enrolled]."""
    constants = {"middle": middle, "projection": projection, "points": points.T, "least": np.array(1e-12)}
    nodes = [
        helper.make_node("Cast", ["content"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["flat"]),
        helper.make_node("Sub", ["flat", "middle"], ["centred"]),
        helper.make_node("MatMul", ["centred", "projection"], ["place"]),
        helper.make_node("ReduceL2", ["place"], ["length"], axes=[1], keepdims=1),
        helper.make_node("Max", ["length", "least"], ["longer"]),
        helper.make_node("Div", ["place", "longer"], ["unit"]),
        helper.make_node("MatMul", ["unit", "points"], ["similarities"]),
    ]
    made = helper.make_graph(
        nodes,
        "fisherfaces",
        [helper.make_tensor_value_info("content", TensorProto.UINT8, ["n", *shape])],
        [helper.make_tensor_value_info("similarities", TensorProto.FLOAT, ["n", points.shape[0]])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def train(train, valid, params):
    """Enrol everybody who has a name."""
    x = train.x.reshape(len(train), -1).astype(np.float64)
    names = np.array(train.y)
    known = names != STRANGER
    threshold = calibrated(x[known], names[known], x[~known], params["components"])
    middle, projection = fit(x[known], names[known], params["components"])
    enrolled, points = gallery(embed(x[known], middle, projection), names[known])

    def native(faces):
        return embed(faces.reshape(len(faces), -1).astype(np.float64), middle, projection) @ points.T

    made = graph(middle, projection, points, train.x.shape[1:])
    return OnnxModel(made, classes=enrolled, threshold=threshold, native=native)
