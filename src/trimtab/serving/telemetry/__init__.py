"""What the server did, kept in segments on disk: written, recovered after a kill, read by the loop."""
