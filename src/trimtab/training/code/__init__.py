"""The user's code: what a function reaches, what is kept of it with a model, and whether it works from there."""
