"""The language of requirements: metrics, limits, and what cannot hold together."""
