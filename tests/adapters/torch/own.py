"""What the module of a system says of rows, without Trimtab's encoding, ONNX or server: `python own.py SYSTEM`.

Rows come as JSON on standard input; the probabilities go to standard output.
"""

import json
import sys

import torch

folder = sys.argv[1]
sys.path.insert(0, folder)
from model import Net  # noqa: E402 - it lies in that folder

rows = json.load(sys.stdin)
x = torch.tensor([[float("nan") if row[f"f{i}"] is None else row[f"f{i}"] for i in range(6)] for row in rows])
net = Net(6)
net.load_state_dict(torch.load(f"{folder}/../own.pt", weights_only=True))
with torch.no_grad():
    print(json.dumps(torch.sigmoid(net.eval()(x)).tolist()))
