"""Objects, their versions and their history: memory with optional SQLite behind it."""
