"""Predictions and their truths, read while the server goes on writing."""
