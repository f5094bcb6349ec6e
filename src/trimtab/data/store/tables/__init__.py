"""What speaks to Lance: tables of rows with versions, and where they lie."""
