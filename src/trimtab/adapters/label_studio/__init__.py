"""Label Studio: people label in its projects, and a project is a source of rows."""
