"""`python -m lacuna.schemas`: writes the schemas of this folder."""

import sys

from lacuna.schemas import FOLDER
from lacuna.schemas.make import write

if __name__ == "__main__":
    for path in write(FOLDER):
        print(path)
    sys.exit(0)
