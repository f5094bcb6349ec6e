"""What may be asked at which address, and who answers it."""
