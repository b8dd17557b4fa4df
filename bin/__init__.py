"""The commands of an installed chomp."""

import runpy
from pathlib import Path


def chomp() -> None:
    """bin/chomp, which has no ending and so cannot be imported."""
    runpy.run_path(str(Path(__file__).with_name("chomp")), run_name="__main__")
