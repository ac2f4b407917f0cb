"""The one optimisation loop and what goes with it."""
