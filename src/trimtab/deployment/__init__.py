"""What a release becomes on a target. The only target so far is the local server, which the loop drives itself."""
