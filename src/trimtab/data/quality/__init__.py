"""The rules that rows obey, and the requirements on them as one query."""
