"""Which hyper-parameters to try, which to give up early, and which of them mattered."""
