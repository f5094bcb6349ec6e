"""A small network that counts the epochs it really computes, slowly enough to be killed."""

import time
from pathlib import Path

import torch

from trimtab import fit_module


class Net(torch.nn.Module):
    """Logits [rows] of a matrix [rows, features] in which numbers may be missing."""

    def __init__(self, features):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(features, momentum=0.7)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(features, 16), torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1)
        )

    def forward(self, x):
        return self.layers(self.norm(torch.nan_to_num(x)))[:, 0]


def train(train, valid, params):
    """Fit, all rows in a batch, and leave the shipped module's weights."""
    folder = Path(params["folder"])

    def loss(output, target):
        if torch.is_grad_enabled():  # an epoch of training
            time.sleep(0.15)
            with (folder / "tally").open("a") as file:
                file.write("again " if valid.seen else "first ")
        return torch.nn.functional.binary_cross_entropy_with_logits(output, target)

    net = fit_module(Net(train.x.shape[1]), train, valid, loss=loss, epochs=12, batch=len(train), lr=0.05, patience=12)
    if valid.seen:
        torch.save(net.state_dict(), folder / "own.pt")
    return net
