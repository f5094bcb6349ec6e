"""What a training leaves beside its model: points, files, load, energy, environment, state of the code."""
