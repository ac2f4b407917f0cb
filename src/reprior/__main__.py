"""`python -m reprior`, which every rule of the workflow calls."""

import sys

from reprior.jobs import warm


def main() -> None:
    """Run the command line. Only the process that does the job imports it."""
    from reprior.cli import main as run

    run()


if __name__ == "__main__":
    if sys.argv[1:2] == [warm.PARENT]:
        warm.serve(int(sys.argv[2]), main)
    elif (status := warm.delegated(sys.argv[1:])) is not None:
        sys.exit(status)
    else:
        main()
