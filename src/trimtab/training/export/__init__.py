"""A fitted model to ONNX: one float32 matrix in, one float32 tensor out."""
