"""`GET /`: a page to try the model by hand. One document with nothing to load from elsewhere."""
