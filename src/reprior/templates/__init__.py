"""`reprior new`: writes a first file of a kind of plug-in, or a study, and a test beside it."""
