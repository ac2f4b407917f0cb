"""reprior: GAN priors for imaging inverse problems, from downloads to tables."""

__version__ = "0.1.0"
