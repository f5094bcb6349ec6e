"""Where releases run as the loop sees it: in this process, at a server, or a file by itself."""
