"""Dataclasses that users make: what they do not know is refused by name, and what they are given is read kindly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Any, Final, TypeVar, cast, get_args, get_type_hints

from dragoman.checks.inputs import Reader, exact, readers
from dragoman.checks.nearest import nearest
from dragoman.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Within:
    """The numbers a field takes.

    Attributes
    ----------
    low : int
    high : int, optional
        The largest; None where there is none.
    itself : bool
        Whether `low` is one of them.
    """

    low: int
    high: int | None = None
    itself: bool = False

    def check(self, name: str, value: Any) -> None:
        """Refuse a number outside.

        Raises
        ------
        UsageError
        """
        if (value > self.low or (self.itself and value == self.low)) and (self.high is None or value <= self.high):
            return
        low = f"{self.low} or more" if self.itself else f"more than {self.low}"
        high = "" if self.high is None else f", at most {self.high}"
        raise UsageError(f"{name} is {value}", remedy=f"give {low}{high}")


ABOVE_0: Final = Within(0)
FROM_0: Final = Within(0, itself=True)


def checked(bounds: Mapping[str, Within], *, read: bool = True) -> Callable[[type[T]], type[T]]:
    """Return a decorator of dataclasses whose constructor raises UsageError for whatever cannot be.

    That is a keyword it does not have, one that lacks, and a value that is not of its field's type or out of bounds.
    Numbers, words and nested values are read as `record` reads them.

    Parameters
    ----------
    bounds : mapping of str to Within
        By field; fields that a class does not have are passed over.
    read : bool
        Whether values are read here; not where the class does so itself.
    """

    def decorate(kind: type[T]) -> type[T]:
        made = cast(Any, kind).__init__
        every = [one for one in fields(cast(Any, kind)) if one.init]
        names = {one.name for one in every}
        needed = [one.name for one in every if one.default is MISSING and one.default_factory is MISSING]
        taken: dict[str, Reader] = {}

        @wraps(made)
        def init(self: T, *values: Any, **given: Any) -> None:
            if values:
                raise UsageError(
                    f"{kind.__name__} takes {values[0]!r:.40} by name alone",
                    remedy=f"write {kind.__name__}({(needed or list(given) or sorted(names))[0]}=...)",
                )
            for name in given:
                if name not in names:
                    raise UsageError(
                        f"{kind.__name__} has no {name}",
                        remedy=f"{nearest(name, names)}it has {', '.join(one.name for one in every)}",
                    )
            if lacking := [name for name in needed if name not in given]:
                raise UsageError(f"{kind.__name__} lacks {', '.join(lacking)}", remedy=f"give {lacking[0]}=...")
            if read:
                if not taken:
                    taken.update(_readers(kind))
                for name, value in given.items():
                    if name in taken:
                        given[name] = value = taken[name](f"{kind.__name__}.{name}", value)
                    if value is not None and name in bounds:
                        bounds[name].check(f"{kind.__name__}.{name}", value)
            made(self, **given)

        cast(Any, kind).__init__ = init
        return kind

    return decorate


def _readers(kind: type) -> dict[str, Reader]:
    found = dict(readers(kind))
    for name, hint in get_type_hints(kind).items():
        if hint is float:
            found[name] = _float
        elif float in get_args(hint):
            found[name] = _float_or_none
    return found


def _float(name: str, value: Any) -> float:
    number = exact(name, value)
    return value if type(value) is float else float(number)


def _float_or_none(name: str, value: Any) -> float | None:
    return None if value is None else _float(name, value)
