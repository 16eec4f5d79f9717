"""What config.py needs to make settings: checks, and secrets that are made on first need."""
