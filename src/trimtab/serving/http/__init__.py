"""HTTP/1.1: connections, addresses, and the forms a question may come in."""
