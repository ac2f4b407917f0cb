"""How networks are trained: tasks, and what they share."""
