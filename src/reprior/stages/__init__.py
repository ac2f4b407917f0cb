"""One file per stage: a function that reads files into objects, calls the code that does the work, and writes files."""
