"""Hypotheses about models, and what became of them."""
