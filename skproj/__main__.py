"""What ``python -m skproj`` runs."""

import sys

from skproj.cli import main

if __name__ == "__main__":
    sys.exit(main())
