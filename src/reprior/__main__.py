"""`python -m reprior`: what every rule of the workflow calls."""

import sys

from reprior.jobs import warm

if __name__ == "__main__":
    status = warm.delegated(sys.argv[1:])
    if status is not None:
        sys.exit(status)

    from reprior.cli import main

    main()
