"""What of people reaches a model, and how a person is forgotten."""
