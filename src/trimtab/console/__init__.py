"""What people look at: the report of a system's history as one page, made from the ledger's records alone."""
