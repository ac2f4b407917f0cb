"""From the user's files to a plan: every cell, batch, file and setting of a run."""
