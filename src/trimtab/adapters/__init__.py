"""Outside tools behind the ports of the stages: a folder for each tool, in it a file for each stage that it serves."""
