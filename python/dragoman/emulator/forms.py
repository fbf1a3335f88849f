"""Fields of a request as an API checks them: which are missing, which are no number, which are not on the list."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any

from dragoman.emulator.contract import HttpCall
from dragoman.plugin.values import rfc3339_ns

_INTEGER = re.compile(r"\d{1,15}")
_LARGEST = 10**9
_NEVER = 2**63


class FieldError(Exception):
    """A field that is missing or wrong; the text names it between back-quotes."""


class Form:
    """The fields of one request, by name; each reading either returns a value or raises FieldError."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._raw = fields
        self._fields = {name: "" if value is None else str(value) for name, value in fields.items()}

    @classmethod
    def of(cls, call: HttpCall) -> Form:
        """Read the form in a call's body."""
        return cls(dict(call.form))

    @classmethod
    def asked(cls, call: HttpCall) -> Form:
        """Read what a call asks with: the JSON object in its body where it has one, its query otherwise."""
        return json_body(call) if call.body else cls(dict(call.query))

    @classmethod
    def query(cls, call: HttpCall) -> Form:
        """Read a call's query."""
        return cls(dict(call.query))

    @property
    def names(self) -> Collection[str]:
        """The names of all fields that were given."""
        return self._raw.keys()

    def raw(self, name: str) -> Any:
        """Return a field as it was given: of a JSON body also a list or an object."""
        return self._raw.get(name)

    def get(self, name: str) -> str | None:
        """Return a field's text, None where it is missing or empty."""
        return self._fields.get(name) or None

    def flag(self, name: str, default: bool = False) -> bool:
        """Return whether a field says ``true``, in any spelling of it."""
        found = self.get(name)
        return default if found is None else found.lower() == "true"

    def listed(self, name: str) -> list[str]:
        """Return the words of a field that holds several with commas between; none where it is missing."""
        return [word for word in (self.get(name) or "").split(",") if word]

    def text(self, name: str) -> str:
        """Return a field that must be there."""
        found = self.get(name)
        if found is None:
            raise FieldError(f"Missing or empty field `{name}`")
        return found

    def choice(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """Return one of `known`."""
        found = self.get(name) or default or self.text(name)
        if found not in known:
            raise FieldError(f"Invalid `{name}`. It should be one of {', '.join(known)}.")
        return found

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number that is not negative."""
        found = self.get(name)
        if found is None and default is not None:
            return default
        if not _INTEGER.fullmatch(self.text(name)):
            raise FieldError(f"Invalid `{name}`. It should be a whole number.")
        return int(self.text(name))

    def number(self, name: str, default: Decimal | None = None) -> Decimal:
        """Return a finite decimal of a sane size."""
        if self.get(name) is None and default is not None:
            return default
        try:
            found = Decimal(self.text(name))
        except InvalidOperation as error:
            raise FieldError(f"Invalid `{name}`. It should be a number.") from error
        if not found.is_finite() or abs(found) > _LARGEST:
            raise FieldError(f"Invalid `{name}`. It should be a number.")
        return found

    def nonzero(self, name: str) -> Decimal | None:
        """Return a number, None where it is missing or 0: clients send 0 for what they leave as it is."""
        return (self.number(name) or None) if self.get(name) else None

    def optional(self, name: str) -> Decimal | None:
        """Return a number, None where it is missing."""
        return self.number(name) if self.get(name) else None

    def time_ns(self, name: str) -> int | None:
        """Return an RFC 3339 time, ns UTC; a day stands for its beginning, one without a zone is in UTC.

        A plus in it may have become a blank on its way through a query. None where it is missing.
        """
        given = self.get(name)
        if given is None:
            return None
        text = given.replace(" ", "+") if "T" in given else f"{given}T00:00:00"
        try:
            return rfc3339_ns(text if datetime.fromisoformat(text).tzinfo else f"{text}Z")
        except ValueError as error:
            raise FieldError(f"Invalid `{name}`. It should be a time.") from error

    def window(self, first: str, last: str) -> tuple[int, int]:
        """Return two times as `time_ns` reads them: the beginning and the end of all time where they are missing."""
        return self.time_ns(first) or 0, self.time_ns(last) or _NEVER

    def moment(self, name: str, zone: tzinfo, default: datetime | None = None) -> datetime:
        """Return an ISO 8601 time in `zone`, which one without a zone is in already."""
        if default is not None and self.get(name) is None:
            return default
        try:
            found = datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise FieldError(f"Invalid `{name}`. It should be a time.") from error
        return found.replace(tzinfo=zone) if found.tzinfo is None else found.astimezone(zone)

    def day(self, name: str) -> date | None:
        """Return an ISO 8601 day, None where it is missing."""
        try:
            return date.fromisoformat(self.text(name)) if self.get(name) else None
        except ValueError as error:
            raise FieldError(f"Invalid `{name}`. It should be yyyy-mm-dd.") from error

    def rows(self, name: str, wrong: str | None = None) -> list[Form]:
        """Return a list of objects of a JSON body as forms; there must be one. `wrong` is said otherwise."""
        found = self.raw(name)
        if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
            raise FieldError(wrong or f"Invalid `{name}`. It should be a list of objects.")
        return [Form(item) for item in found]

    def record(self, name: str, kind: type) -> Any:
        """Return the JSON in a field, which must be of `kind` (dict or list)."""
        try:
            found = json.loads(self.text(name), parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise FieldError(f"Invalid `{name}`. It should be JSON.") from error
        if not isinstance(found, kind):
            raise FieldError(f"Invalid `{name}`. It should be a JSON {kind.__name__}.")
        return found


def json_body(call: HttpCall) -> Form:
    """Return the JSON object in a call's body, its decimals exact.

    Raises
    ------
    FieldError
        For a body that is none.
    """
    return Form(Form({"body": call.body.decode("utf-8", "replace")}).record("body", dict))


def records(body: bytes) -> list[Form]:
    """Return the objects of a JSON array as forms.

    Raises
    ------
    FieldError
        For a body that is none.
    """
    found = Form({"body": body.decode("utf-8", "replace")}).record("body", list)
    if not found or not all(isinstance(item, dict) for item in found):
        raise FieldError("Invalid `body`. It should be a JSON array of objects.")
    return [Form(item) for item in found]
