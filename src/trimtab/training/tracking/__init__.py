"""What a training leaves beside its model: logged metrics, saved files, load, energy, environment, state of the code."""
