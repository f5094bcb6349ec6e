"""Labels: what annotators said, how far they agree, what it comes to, what is likely wrong and what to label next."""
