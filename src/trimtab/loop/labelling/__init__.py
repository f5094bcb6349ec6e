"""What is worth labelling next, and which labels are likely wrong."""
