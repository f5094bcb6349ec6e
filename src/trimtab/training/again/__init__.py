"""A model made again, and two models told apart."""
