"""The controller: observe, name causes, plan, act; one turn of it is a pass."""
