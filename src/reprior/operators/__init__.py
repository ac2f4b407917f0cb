"""Forward operators: one a file, found by its name."""
