"""`python -m pipeline`."""

import sys
from pathlib import Path

# `-m` puts the working directory first on the path: whatever lies there would be taken for ours.
if sys.path and Path(sys.path[0]).resolve() != Path(__file__).resolve().parent.parent:
    del sys.path[0]

from pipeline.cli import main

if __name__ == "__main__":
    main()
