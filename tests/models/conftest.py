import pathlib
import sys

# The machines of the samplers' tests.
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "sampling"))
