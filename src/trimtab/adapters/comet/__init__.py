"""Comet: trainings are shown there, by its own package."""
