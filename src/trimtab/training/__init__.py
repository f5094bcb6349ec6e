"""From labelled rows to a model version: identity, splits, the worker process, evaluation and export."""
