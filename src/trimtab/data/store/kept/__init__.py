"""Versions that are there: compared, verified, written out as files, and let go of."""
