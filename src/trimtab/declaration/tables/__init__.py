"""A file for each table of `trimtab.toml`: read, checked, and what is wrong with it told."""
