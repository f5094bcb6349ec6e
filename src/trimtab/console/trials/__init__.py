"""Pages on what was tried: experiments, searches, trainings."""
