"""Trainings that are tried beside the declared one: experiments and the search of hyper-parameters."""
