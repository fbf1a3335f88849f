"""The outermost frame of every command: whatever goes wrong becomes one clear line and an exit status."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup


class Commands(TyperGroup):
    """A group of commands that lets no traceback with values, no secret and no half-written pipe out."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        from dragoman.errors import DragomanError

        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except DragomanError as error:
            raise typer.Exit(tell(error)) from None
        except KeyboardInterrupt:
            print("dragoman: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # Whoever read us has enough. What is still buffered must not fail again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from None
        except Exception as error:
            if _is_typers(error):
                raise
            raise typer.Exit(tell_fault()) from None
        return result


def tell(error: Any) -> int:
    """Print an error as one line and return its exit status."""
    from dragoman.cli.exits import status_of
    from dragoman.session.secrets import redact

    print(f"dragoman: {redact(' '.join(str(error).split()))}", file=sys.stderr)
    return int(status_of(error))


def tell_fault() -> int:
    """Print the exception under way as a fault of this program: where it happened, no values, no secrets."""
    import traceback

    from dragoman.cli.exits import Status
    from dragoman.session.secrets import redact

    # Plain lines, not drawn ones: a secret folded at the edge of a box could not be found by its text.
    print(redact(traceback.format_exc()), file=sys.stderr, end="")
    print("dragoman: this is a fault of dragoman itself; please report the lines above", file=sys.stderr)
    return int(Status.INTERNAL)


def _is_typers(error: Exception) -> bool:
    """Whether typer makes an exit status or a message of it by itself: its own exits and complaints of arguments."""
    return isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "format_message")
