"""Dataset versions: where rows come from, what they must obey, and how each state of them is kept and proved."""
