"""History gone through step by step, and what a policy would have been worth in it."""
