"""A future that does not make whoever awaits it wait for the loop's next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_current_task = asyncio.current_task
_set_result = asyncio.Future.set_result


class PromptFuture(asyncio.Future[T]):
    """A future whose awaiting task goes on within `set_result` and `set_exception`, before they return.

    An ordinary future asks the loop to wake the task in its next turn, which costs a look at all sockets in between.
    Here the task is stepped at once, where that can be: where no other task is being stepped, that is in a callback of
    the loop. Elsewhere, and for whoever is not a task, and after `cancel`, it is as any future. What sets the result
    does so last: the awaiting code runs inside.
    """

    _waker: tuple[Callable[[Any], object], Context] | None = None

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Call `fn` when done. A task, and no one else, gives a context and is the first to wait."""
        if context is None or self._waker is not None or self.done():
            super().add_done_callback(fn, context=context)
        else:
            self._waker = fn, context

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Remove a callback; return how often it was there."""
        removed = super().remove_done_callback(fn)
        if self._waker is not None and self._waker[0] == fn:
            self._waker = None
            removed += 1
        return removed

    def set_result(self, result: T, /) -> None:
        _set_result(self, result)
        if self._waker is not None:
            self._wake()

    def set_exception(self, exception: type | BaseException, /) -> None:
        super().set_exception(exception)
        if self._waker is not None:
            self._wake()

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel; whoever waits is woken by the loop, because who cancels is often being stepped itself."""
        cancelled = super().cancel(msg)
        if cancelled and self._waker is not None:
            (fn, context), self._waker = self._waker, None
            self.get_loop().call_soon(fn, self, context=context)
        return cancelled

    def _wake(self) -> None:
        assert self._waker is not None
        (fn, context), self._waker = self._waker, None
        loop = self.get_loop()
        if _current_task(loop) is not None:
            loop.call_soon(fn, self, context=context)
            return
        try:
            context.run(fn, self)
        except (KeyboardInterrupt, SystemExit) as error:
            # The task has ended with it, and so shall the loop: not what happens to call us, which might take it for
            # its own failure.
            loop.call_soon(_raise, error)


def _raise(error: BaseException) -> NoReturn:
    raise error
