"""The immutable facts that stages exchange, the ledger that keeps them, and the blobs they name."""
