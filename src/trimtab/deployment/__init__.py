"""Where releases run: what any target guarantees, and the one that is embedded: a server process on this machine."""
