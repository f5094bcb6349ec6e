"""Trimtab keeps what a machine learning system must hold, by itself, with the evidence."""

__version__ = "0.1.0"
