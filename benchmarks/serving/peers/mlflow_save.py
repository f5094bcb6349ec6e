"""Saves the ONNX file as an MLflow model with a tensor signature, at the folder given."""

import os
import sys

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

shape = (-1, *(int(size) for size in os.environ["SHAPE"].split(",")))
signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype(os.environ["DTYPE"]), shape)]))
options = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
mlflow.onnx.save_model(onnx.load(os.environ["MODEL"]), sys.argv[1], signature=signature, onnx_session_options=options)
