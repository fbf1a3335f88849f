"""A new adapter package, written from templates, and what is left to do in it."""

from dragoman.testing.scaffold.files import new_adapter
from dragoman.testing.scaffold.work import WORK, left

__all__ = ["WORK", "left", "new_adapter"]
