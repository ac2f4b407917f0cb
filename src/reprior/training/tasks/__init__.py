"""What is trained, and how it is judged: one file per task."""
