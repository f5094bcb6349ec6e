"""Metrics: their figures over rows, what each row adds to them, and their intervals."""
