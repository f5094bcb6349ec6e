"""The mathematics of figures: metrics, intervals, paired tests, distances, verdicts. No files, clock or state."""
