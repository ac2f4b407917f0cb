"""Kinds of artifact: one file each."""
