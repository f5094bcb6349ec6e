"""Rows from a database, through SQLAlchemy."""
