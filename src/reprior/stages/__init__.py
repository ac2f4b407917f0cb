"""One file a stage: a function that turns files into objects, calls the part that does the work, and writes files."""
