"""The losses of the two players of a GAN: one objective per file."""
