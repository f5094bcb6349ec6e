"""What the file of an image or a sound says of itself, read within limits, and whether it is whole."""
