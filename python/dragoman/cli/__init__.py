"""The ``dragoman`` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; a typed error becomes one line on standard error and exit status 2."""
    import os
    import sys

    from dragoman.cli.app import app
    from dragoman.errors import DragomanError

    try:
        app()
    except DragomanError as error:
        print(f"dragoman: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read us has enough. What is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
