"""From a fitted model in a notebook to a system that is kept."""
