"""The card of a model: what it is, what it is for, how good, for whom, and where it is weak."""
