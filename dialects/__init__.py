"""SQL that SQLite and PostgreSQL spell differently; it imports nothing of ours."""
