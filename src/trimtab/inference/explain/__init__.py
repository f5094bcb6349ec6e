"""Why a model answered as it did: what each feature of a row contributed, from what was kept of it at training."""
