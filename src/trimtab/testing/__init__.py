"""One shared suite of tests for each port: for our own implementations, and for other people's."""
