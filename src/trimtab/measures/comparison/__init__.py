"""Whether one does better than another: models, ways of training, groups of rows, with and without a feature."""
