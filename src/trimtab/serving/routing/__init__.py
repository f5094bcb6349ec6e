"""Which releases are loaded, and which of them answers a row."""
