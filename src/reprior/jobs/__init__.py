"""A job: what it reads and makes, that it runs alone, the code that it runs, and the folders of a run."""
