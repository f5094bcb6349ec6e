"""Dataset versions on disk: collected exactly once, compared, verified, exported."""
