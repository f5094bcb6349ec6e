"""The server's side: what it writes before it answers, and what it knows again of what it wrote."""
