"""A classifier of pixels by what lies around them: fixed filters and a small network, as convolutions in one graph."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

SIDE, WIDE = 96, 9


def filters():
    """Kernels [filters, 3, WIDE, WIDE] over the colours: the pixel, its surroundings, and their slopes."""
    middle = WIDE // 2
    made = []
    for color in range(3):
        own = np.zeros((3, WIDE, WIDE))
        own[color, middle, middle] = 1
        made.append(own)
    grey = np.ones((3, 1, 1)) / 3
    for reach in (1, 4):
        box = np.zeros((1, WIDE, WIDE))
        box[0, middle - reach : middle + reach + 1, middle - reach : middle + reach + 1] = 1 / (2 * reach + 1) ** 2
        made.append(grey * box)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for reach in (2, 4):
            slope = np.zeros((1, WIDE, WIDE))
            slope[0, middle + reach * down, middle + reach * right] = 1
            slope[0, middle - reach * down, middle - reach * right] = 1
            slope[0, middle, middle] = -2
            made.append(grey * slope)
    return np.stack(made).astype(np.float32)


def around(pictures):
    """What the filters give for each pixel [n, height, width, filters], as the graph computes it."""
    padded = np.pad(pictures.astype(np.float32) / 255, [(0, 0), (0, 0), (WIDE // 2,) * 2, (WIDE // 2,) * 2], "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (WIDE, WIDE), axis=(2, 3))
    return np.tensordot(windows, filters(), axes=([1, 4, 5], [1, 2, 3]))


def layers(network, scale):
    """The network's weights as 1 x 1 convolutions over unscaled filters."""
    first = network.coefs_[0] / scale.scale_[:, None]
    bias = network.intercepts_[0] - scale.mean_ @ first
    return (first.T, bias), (network.coefs_[1].T, network.intercepts_[1])


def graph(one, two, side):
    """Pictures UINT8 [n, 3, side, side] to masks [n, side, side]."""
    constants = {
        "most": np.array(255, np.float32), "filters": filters(),
        "first": one[0][:, :, None, None].astype(np.float32), "first_bias": one[1].astype(np.float32),
        "second": two[0][:, :, None, None].astype(np.float32), "second_bias": two[1].astype(np.float32),
        "pads": np.array([0, 0, WIDE // 2, WIDE // 2, 0, 0, WIDE // 2, WIDE // 2]), "half": np.array(0, np.float32),
        "channel": np.array([1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["picture"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "most"], ["shares"]),
        helper.make_node("Pad", ["shares", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "filters"], ["around"]),
        helper.make_node("Conv", ["around", "first", "first_bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Conv", ["active", "second", "second_bias"], ["logit"]),
        helper.make_node("Greater", ["logit", "half"], ["scratched"]),
        helper.make_node("Squeeze", ["scratched", "channel"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["mask"], to=TensorProto.UINT8),
    ]
    made = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["n", 3, side, side])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["n", side, side])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def train(train, valid, params):
    """Learn from all scratched pixels and a quarter of the clean ones."""
    dice = np.random.default_rng(0)
    seen, said = [], []
    for picture, mask in zip(train.x, train.y, strict=True):
        found = around(picture[None])[0]
        for number in (0, 1):
            place = np.flatnonzero(mask.ravel() == number)
            if number == 0:
                place = dice.choice(place, min(len(place), SIDE * SIDE // 4), replace=False)
            seen.append(found.reshape(-1, found.shape[-1])[place])
            said.append(np.full(len(place), number))
    scale = StandardScaler()
    x, y = scale.fit_transform(np.concatenate(seen)), np.concatenate(said)
    network = MLPClassifier(
        hidden_layer_sizes=(params["hidden"],), max_iter=12, early_stopping=True, random_state=0
    ).fit(x, y)
    return graph(*layers(network, scale), train.x.shape[-1])
