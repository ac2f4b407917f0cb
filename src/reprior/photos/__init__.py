"""One photograph, restored by one command: `reprior restore`."""
