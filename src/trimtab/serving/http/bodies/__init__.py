"""The bodies that a question may come in, and its answers in the same form."""
