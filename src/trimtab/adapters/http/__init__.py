"""Rows from the pages of a JSON interface over HTTP."""
