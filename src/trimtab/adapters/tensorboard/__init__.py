"""TensorBoard: event files that it reads."""
