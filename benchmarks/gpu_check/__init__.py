"""`make gpu-check`: see `__main__.py` and docs/gpu.md."""
