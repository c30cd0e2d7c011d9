"""The harness of the networks lies with their own tests, and is found there."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / "models"))
