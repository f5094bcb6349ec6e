"""Who may ask for what, and how often: tokens, their scopes and rates, and the certificate the server shows."""
