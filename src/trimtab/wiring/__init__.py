"""The composition root: from the names in a declaration to the parts that do the work."""
