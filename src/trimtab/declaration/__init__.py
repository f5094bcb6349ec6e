"""`trimtab.toml` read, checked and understood: from text to a `System`, or to errors that name the line."""
