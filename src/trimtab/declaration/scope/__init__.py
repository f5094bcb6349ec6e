"""What a declaration asks for, before anything runs."""
