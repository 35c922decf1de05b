"""Pictures of samples, latent spaces and training, each a function that returns a Figure.

No function touches pyplot, rcParams or the chosen backend of matplotlib, so all of them work in a
thread, on a machine without a display, and beside a user's own figures. Each takes `path=None`;
given a path it also writes a PNG, whole or not at all.
"""

from keras_dgm.plotting.charts import density_2d, scatter_latent, training_curves
from keras_dgm.plotting.figures import png_bytes, save_png
from keras_dgm.plotting.images import (
    chain_strip,
    image_grid,
    latent_traversal,
    reconstruction_strip,
)
from keras_dgm.plotting.tiles import image_tiles

__all__ = [
    "chain_strip",
    "density_2d",
    "image_grid",
    "image_tiles",
    "latent_traversal",
    "png_bytes",
    "reconstruction_strip",
    "save_png",
    "scatter_latent",
    "training_curves",
]
