"""What every request meets: limits, errors, the headers of answers, and what the process runs."""
