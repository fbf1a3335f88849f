"""The ``dragoman`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; see `dragoman.cli.exits` for the exit statuses."""
    from dragoman.cli.app import app

    app()
