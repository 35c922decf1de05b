"""The zoo as a page: one static folder with pictures that the models draw themselves."""

from .build import make_gallery

__all__ = ["make_gallery"]
