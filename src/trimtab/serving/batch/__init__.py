"""Files of rows, read and answered in a process of their own: what breaks a decoder takes no server with it."""
