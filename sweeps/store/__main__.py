"""`python -m sweeps.store ls|verify|gc`: the same as `lacuna store`."""

import sys

from sweeps.cli import main

if __name__ == "__main__":
    sys.exit(main(["store", *sys.argv[1:]]))
