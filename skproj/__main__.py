"""Entry point of ``python -m skproj``."""

import sys

from skproj.cli import main

if __name__ == "__main__":
    sys.exit(main())
