"""The ``dragoman`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; a typed error becomes one line on standard error and exit status 2."""
    import sys

    from dragoman.cli.app import app
    from dragoman.errors import DragomanError

    try:
        app()
    except DragomanError as error:
        print(f"dragoman: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
