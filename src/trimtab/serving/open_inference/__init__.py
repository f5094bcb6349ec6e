"""The Open Inference Protocol, version 2, whatever it travels on: tensors in, what a model takes and gives."""
