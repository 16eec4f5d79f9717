"""What clients send and get. Nothing here knows the database or the rest of the application."""
