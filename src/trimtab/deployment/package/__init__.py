"""A model that leaves: one folder that stands alone, how it is written, and how it is read back."""
