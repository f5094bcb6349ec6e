"""From a question to its answer: queued, scored in batches, kept, told."""
