"""What makes versions: rows taken in exactly once, whoever else writes."""
