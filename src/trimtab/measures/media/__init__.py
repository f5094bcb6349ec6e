"""What pictures and sounds are like, in figures, and which are nearly the same."""
