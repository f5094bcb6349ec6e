"""One turn of the loop: look, name causes, plan, write the plan down, act, write the outcome down."""
