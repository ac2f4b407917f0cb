"""A job: what it reads and makes, its lock and record, the hash of its code, and the folders of a run."""
