"""`python -m reprior`: what every rule of the workflow calls."""

from reprior.cli import main

if __name__ == "__main__":
    main()
