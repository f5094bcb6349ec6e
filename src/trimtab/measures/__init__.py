"""The mathematics of figures: metrics, intervals, paired tests, distances and verdicts. No files, no clock, no state."""
