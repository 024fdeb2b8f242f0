"""``python -m bench``."""

import sys

from bench.command import parse
from bench.sealed import run

if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:])))
