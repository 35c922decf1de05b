"""Named data sets: real images with checksums, and toy distributions with a known density.

`load(name)` returns a `Dataset` with the splits `train`, `valid` and `test`; `list()` names them
all. `digits` (scikit-learn's, 1 797 real 8x8 scans) and the two-dimensional toys need no file and
no network.
"""

from keras_dgm.datasets.dataset import Dataset, Split
from keras_dgm.datasets.index import with_index
from keras_dgm.datasets.load import list_datasets as list
from keras_dgm.datasets.load import load
from keras_dgm.datasets.toys import ToyDataset

__all__ = ["Dataset", "Split", "ToyDataset", "list", "load", "with_index"]
