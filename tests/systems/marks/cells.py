"""A detector on a grid: the colours around each cell say what is there and how large it is.

One convolution averages the blocks of a patch; 1 x 1 convolutions are the two small networks behind it.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

SIDE, WIDE, STEP, BLOCK = 96, 32, 6, 4
CELLS = SIDE // STEP + 1
KINDS = ("hole", "stain")


def blocks():
    """Kernels that average a patch's blocks, colour by colour [3 * blocks, 3, WIDE, WIDE]."""
    side = WIDE // BLOCK
    made = np.zeros((3, side, side, 3, WIDE, WIDE), np.float32)
    for color, row, column in np.ndindex(3, side, side):
        place = (slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK))
        made[(color, row, column, color, *place)] = 1 / BLOCK**2
    return made.reshape(-1, 3, WIDE, WIDE)


def around(pictures):
    """The blocks around each cell [n, cells, 3 * blocks], with edges repeated beyond the picture."""
    padded = np.pad(pictures.astype(np.float32) / 255, [(0, 0), (0, 0), (WIDE // 2,) * 2, (WIDE // 2,) * 2], "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WIDE, WIDE), axis=(2, 3))[:, :, ::STEP, ::STEP]
    side = WIDE // BLOCK
    split = windows.reshape(*windows.shape[:4], side, BLOCK, side, BLOCK).mean(axis=(5, 7))
    return split.transpose(0, 2, 3, 1, 4, 5).reshape(len(pictures), CELLS * CELLS, -1)


def centres():
    """Where cells are, in pixels [cells, 2] as x, y."""
    places = np.arange(CELLS) * STEP
    return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2).astype(np.float32)


def targets(truths):
    """For each cell of each picture its kind (0: none) and, where there is one, its box as offsets and sides."""
    kinds = np.zeros((len(truths), CELLS * CELLS), int)
    boxes = np.zeros((len(truths), CELLS * CELLS, 4))
    for row, truth in enumerate(truths):
        for (x0, y0, x1, y1), label in zip(truth.corners * SIDE, truth.labels, strict=True):
            middle = np.array([x0 + x1, y0 + y1]) / 2
            near = np.abs(centres() - middle).max(axis=1) <= STEP
            kinds[row, near] = 1 + KINDS.index(label)
            boxes[row, near, :2] = (middle - centres()[near]) / WIDE
            boxes[row, near, 2:] = np.array([x1 - x0, y1 - y0]) / WIDE
    return kinds, boxes


def graph(scale, kinds, boxes):
    """Pictures UINT8 [n, 3, SIDE, SIDE] to boxes [n, cells, 4] (centre and sides) and scores [n, cells, kinds]."""
    constants = {
        "most": np.array(255, np.float32),
        "pads": np.array([0, 0, WIDE // 2, WIDE // 2, 0, 0, WIDE // 2, WIDE // 2]),
        "parts": (blocks() / scale.scale_[:, None, None, None]).astype(np.float32),
        "parts_bias": (-scale.mean_ / scale.scale_).astype(np.float32),
        "centres": np.concatenate([centres(), np.zeros((CELLS * CELLS, 2), np.float32)], axis=1),
        "wide": np.array(WIDE, np.float32),
        "one": np.array([1]), "last": np.array([3]), "axis": np.array([2]),
        "by_cell": np.array([0, -1, CELLS * CELLS]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["picture"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "most"], ["shares"]),
        helper.make_node("Pad", ["shares", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "parts", "parts_bias"], ["told"], strides=[STEP, STEP]),
    ]
    for name, network in (("kinds", kinds), ("boxes", boxes)):
        source = "told"
        for place, (weights, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
            constants[f"{name}_w{place}"] = weights.T[:, :, None, None].astype(np.float32)
            constants[f"{name}_b{place}"] = bias.astype(np.float32)
            inputs = [source, f"{name}_w{place}", f"{name}_b{place}"]
            nodes.append(helper.make_node("Conv", inputs, [f"{name}_{place}"]))
            source = f"{name}_{place}"
            if place + 1 < len(network.coefs_):
                nodes.append(helper.make_node("Relu", [source], [f"{source}_on"]))
                source = f"{source}_on"
        nodes.append(helper.make_node("Reshape", [source, "by_cell"], [f"{name}_cells"]))
        nodes.append(helper.make_node("Transpose", [f"{name}_cells"], [f"{name}_rows"], perm=[0, 2, 1]))
    nodes += [
        helper.make_node("Softmax", ["kinds_rows"], ["shares_of"], axis=2),
        helper.make_node("Slice", ["shares_of", "one", "last", "axis"], ["scores"]),
        helper.make_node("Mul", ["boxes_rows", "wide"], ["sized"]),
        helper.make_node("Add", ["sized", "centres"], ["boxes"]),
    ]
    cells = CELLS * CELLS
    made = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", cells, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", cells, len(KINDS)]),
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def train(train, valid, params):
    """Learn from every cell what is there, and from those with something in them how large it is."""
    kinds, boxes = targets(train.y)
    x = np.concatenate([around(train.x[row : row + 1])[0] for row in range(len(train))])
    y, z = kinds.ravel(), boxes.reshape(-1, 4)
    scale = StandardScaler()
    told = scale.fit_transform(x)
    shape = {"hidden_layer_sizes": (params["hidden"],), "alpha": params["decay"], "random_state": 0}
    classifier = MLPClassifier(max_iter=20, **shape).fit(told, y)
    regressor = MLPRegressor(max_iter=150, **shape).fit(told[y > 0], z[y > 0])
    return graph(scale, classifier, regressor)
