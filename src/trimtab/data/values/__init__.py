"""What a cell, a row and a moment are: types, instants, digests."""
