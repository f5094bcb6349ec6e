"""Compacted segments as they lie on disk: Arrow files, and the ids that are in them."""
