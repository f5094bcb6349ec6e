"""What is known of people: sealed under a key of their own, found, forgotten, counted."""
