"""What a model is like, on the rows that judged it: what it relies on, whom it serves, what it promises."""
