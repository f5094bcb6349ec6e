"""How a trained model runs, the same for the server, the worker and backtests: encoding and one ONNX session."""
