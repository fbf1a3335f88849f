"""Adapters that ride in the wheel; each is found through the ``dragoman.adapters`` entry-point group."""
