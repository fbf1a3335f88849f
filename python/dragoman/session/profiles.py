"""Profiles: which account at which broker, in which environment, and where its secrets are kept.

One TOML file, ``$DRAGOMAN_CONFIG`` or ``~/.config/dragoman/profiles.toml``, readable by its owner alone::

    [examplebroker.main]
    environment = "live"                        # live, sandbox or emulator: never defaulted
    credentials.api_key = { env = "EXAMPLE_KEY" }
    credentials.api_secret = { keyring = "example/me" }
    egress.source_address = "203.0.113.7"
    risk.max_order_value = 500000               # see `dragoman.checks.risk.RiskLimits`
    settings.quantity_unit = { MCX = "LOTS" }
    calendars = ["nse-2027.toml"]               # holidays of your own, see `dragoman.session.exchange_days`

The file names secrets, it holds none: a credential is ``{env}``, ``{keyring}``, ``{file}`` or ``{command}``. Only an
emulator's own ``emu_...`` values, and what an adapter declares as not secret, may stand there as they are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.runtime.base import Runtime
from dragoman.session.emulators import DEFAULT_NAME, find, served
from dragoman.session.exchange_days import ExchangeDays, together
from dragoman.session.references import Reference, reference_of
from dragoman.session.secrets import Secret
from dragoman.session.wire import check_root

if TYPE_CHECKING:
    from pydantic import BaseModel

Environment = Literal["live", "sandbox", "emulator"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)


@dataclass(frozen=True, slots=True)
class Egress:
    """How requests leave this machine.

    `source_address` is bound locally; `proxy` is ``http://host:port``; `registered_ip` is what the broker has on file.
    """

    source_address: str | None = None
    proxy: str | None = None
    registered_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One account as the user configured it; made by `load_profile`.

    Attributes
    ----------
    credentials : mapping of str to Secret or Reference
        References are followed when a credential is needed, not before.
    settings : mapping of str to Any
        Plain values for the adapter.
    hosts : mapping of str to str
        Roots by name, complete for the environment.
    account : str or None
        Where given, a session of any other account is refused.
    risk : mapping of str to Any
        Limits that orders are checked against before they are sent.
    days : ExchangeDays
        Holidays and sessions of the user's own; they count before what the library knows.
    """

    broker: str
    name: str
    environment: Environment
    credentials: Mapping[str, Secret | Reference] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    egress: Egress = Egress()
    redirect_port: int | None = None
    account: str | None = None
    risk: Mapping[str, Any] = field(default_factory=dict)
    days: ExchangeDays = field(default_factory=ExchangeDays)

    def __str__(self) -> str:
        return f"{self.broker}/{self.name} ({self.environment})"


async def load_profile(
    runtime: Runtime,
    adapter: Adapter,
    name: str = "main",
    *,
    environment: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Profile:
    """Read and check one profile.

    Parameters
    ----------
    name : str
    environment : str, optional
        Needed where the profile names none; one that differs from the profile's is refused, because the profile's
        credentials and hosts belong to its own.
    overrides : mapping, optional
        Fields as in the file, taken before it; with them the file may be absent. Credentials here may be `Secret`.
        With neither, environment "emulator" means a running emulator of that name.

    Raises
    ------
    UsageError
        Names the file, the field, what was found and what was expected; never a value.
    """
    homeless = overrides and not runtime.environ("DRAGOMAN_CONFIG") and not runtime.environ("HOME")
    path = "" if homeless else config_path(runtime)
    table = await runtime.in_worker(_read_table, runtime, path, adapter.name, name) if path else None
    if table is None and not overrides and environment == "emulator":
        overrides = await runtime.in_worker(served, runtime, adapter, name)
        if overrides is None:
            raise await runtime.in_worker(_no_emulator, runtime, adapter.name, name)
    if table is None and not overrides:
        what = f"{path} has no profile" if runtime.disk.exists(path) else f"there is no file {path} with a profile"
        raise UsageError(
            f"{what} [{adapter.name}.{name}]",
            broker=adapter.name,
            remedy=f"add the table, or name another profile; credentials: {_wanted(adapter)}",
        )
    merged = _merge(table or {}, overrides or {})
    where = f"profile {adapter.name}.{name}" + ("" if table is None else f" of {path}")
    profile, calendars = _build(adapter, name, where, merged, environment)
    if not calendars:
        return profile
    days = await runtime.in_worker(_read_days, runtime, path.rpartition("/")[0], calendars, where)
    return replace(profile, days=days)


def _no_emulator(runtime: Runtime, broker: str, name: str) -> UsageError:
    runs = name != DEFAULT_NAME and find(runtime, broker, DEFAULT_NAME) is not None
    return UsageError(
        f"no emulator of {broker} named {name!r} is running, and there is no such profile",
        broker=broker,
        remedy=f"one named {DEFAULT_NAME!r} is: name that as the profile"
        if runs
        else f"run `dragoman emulate {broker}` in another terminal",
    )


def config_path(runtime: Runtime) -> str:
    """Return where the profiles are."""
    named = runtime.environ("DRAGOMAN_CONFIG")
    if named:
        return named
    home = runtime.environ("HOME")
    if not home:
        raise UsageError("HOME is not set, so there is no place for profiles", remedy="set HOME or DRAGOMAN_CONFIG")
    return f"{home}/.config/dragoman/profiles.toml"


def check_private(runtime: Runtime, path: str) -> None:
    """Raise UsageError if anyone but the owner may use the file."""
    mode = runtime.disk.mode(path)
    if mode & 0o077:
        raise UsageError(f"{path} has mode {mode:04o}, expected 0600", remedy=f"run: chmod 600 {path}")


def _read_table(runtime: Runtime, path: str, broker: str, name: str) -> dict[str, Any] | None:
    if not runtime.disk.exists(path):
        return None
    try:
        data = runtime.disk.read(path)
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a folder, expected the file with the profiles",
            remedy=f"set DRAGOMAN_CONFIG to a file, for example {path.rstrip('/')}/profiles.toml",
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy="it must be a file of yours") from error
    check_private(runtime, path)
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except tomllib.TOMLDecodeError as error:
        # The parser's message quotes a character and a position, never a value.
        raise UsageError(f"{path} is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text") from None
    profiles = document.get(broker, {})
    if not isinstance(profiles, dict) or not isinstance(profiles.get(name, {}), dict):
        raise UsageError(f"{path}: [{broker}.{name}] is not a table")
    return profiles.get(name)


def _merge(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(table)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


@cache
def _model() -> type[BaseModel]:
    from pydantic import BaseModel, ConfigDict, Field

    class EgressTable(BaseModel):
        model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
        source_address: str | None = None
        proxy: str | None = Field(default=None, pattern=r"^http://[^/@?#]+:\d+/?$")
        registered_ip: str | None = None

    class ProfileTable(BaseModel):
        model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
        environment: Environment | None = None
        credentials: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        hosts: dict[str, str] = {}
        egress: EgressTable = EgressTable()
        redirect_port: int | None = Field(default=None, ge=1, le=65535)
        account: str | None = None
        risk: dict[str, Any] = {}
        calendars: list[str] = []

    # The annotations name classes of this function, which pydantic cannot find by itself.
    ProfileTable.model_rebuild(_types_namespace={"EgressTable": EgressTable, "Environment": Environment, "Any": Any})
    return ProfileTable


def _read_days(runtime: Runtime, folder: str, calendars: Sequence[str], where: str) -> ExchangeDays:
    """Read the calendars a profile names; where a path is not absolute, beside the file with the profiles."""
    found = []
    for name in calendars:
        path = name if name.startswith("/") or not folder else f"{folder}/{name}"
        remedy = "see the fields in `dragoman.session.exchange_days`"
        try:
            found.append(ExchangeDays.read(runtime.disk.read(path).decode("utf-8"), path))
        except OSError as error:
            raise UsageError(f"{where}: calendar {path} cannot be read: {error.strerror}", remedy=remedy) from error
        except ValueError as error:  # also text that is not UTF-8
            raise UsageError(f"{where}: calendar {error}", remedy=remedy) from error
    return together(found)


def _build(
    adapter: Adapter, name: str, where: str, raw: dict[str, Any], environment: str | None
) -> tuple[Profile, Sequence[str]]:
    from pydantic import ValidationError

    try:
        table = cast("Any", _model().model_validate(raw))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
            for item in error.errors(include_input=False, include_context=False, include_url=False)
        )
        raise UsageError(f"{where}: {found}", broker=adapter.name) from None
    chosen = _environment(adapter, where, table.environment, environment)
    profile = Profile(
        broker=adapter.name,
        name=name,
        environment=chosen,
        credentials=_credentials(adapter, where, table.credentials, chosen),
        settings=table.settings,
        hosts=_hosts(adapter, where, table.hosts, chosen),
        egress=Egress(table.egress.source_address, table.egress.proxy, table.egress.registered_ip),
        redirect_port=table.redirect_port,
        account=table.account,
        risk=table.risk,
    )
    return profile, table.calendars


def _environment(adapter: Adapter, where: str, configured: str | None, asked: str | None) -> Environment:
    if asked is not None and asked not in ENVIRONMENTS:
        raise UsageError(f"environment {asked!r} is unknown", remedy=f"use one of {', '.join(ENVIRONMENTS)}")
    if configured and asked and configured != asked:
        raise UsageError(
            f"{where} is for environment {configured}, the call asks for {asked}",
            broker=adapter.name,
            remedy="use a profile of that environment: credentials and hosts belong to one",
        )
    chosen = configured or asked
    if chosen is None:
        raise UsageError(
            f"{where} names no environment, and none is assumed",
            broker=adapter.name,
            remedy="set environment to live, sandbox or emulator",
        )
    if chosen != "emulator" and chosen not in adapter.hosts:
        raise UsageError(
            f"{adapter.name} has no environment {chosen}",
            broker=adapter.name,
            remedy=f"use one of {', '.join(sorted({*adapter.hosts, 'emulator'}))}",
        )
    return cast("Environment", chosen)


def _credentials(
    adapter: Adapter, where: str, given: Mapping[str, Any], environment: str
) -> dict[str, Secret | Reference]:
    declared = {credential.name: credential for credential in adapter.credentials}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise UsageError(
            f"{where}: unknown credentials {', '.join(unknown)}",
            broker=adapter.name,
            remedy=f"{adapter.name} takes {_wanted(adapter)}",
        )
    found: dict[str, Secret | Reference] = {}
    for name, value in given.items():
        if isinstance(value, str):
            if declared[name].secret and not (environment == "emulator" and value.startswith("emu_")):
                raise UsageError(
                    f"{where}: credential {name} stands there as text",
                    broker=adapter.name,
                    remedy=f'name its place, e.g. {name} = {{ env = "{name.upper()}" }}, and change the secret',
                )
            value = Secret(value)
        found[name] = value if isinstance(value, Secret) else reference_of(value, f"{where}: credential {name}")
    return found


def _hosts(adapter: Adapter, where: str, given: Mapping[str, str], environment: str) -> dict[str, str]:
    known = {name for hosts in adapter.hosts.values() for name in hosts}
    unknown = sorted(set(given) - known - {"rest", "ws", "login"})
    if unknown:
        raise UsageError(
            f"{where}: unknown hosts {', '.join(unknown)}",
            broker=adapter.name,
            remedy=f"{adapter.name} knows {', '.join(sorted(known))}",
        )
    hosts = {**adapter.hosts.get(environment, {}), **given}
    missing = sorted(name for name in known or {"rest"} if not hosts.get(name))
    if missing:
        raise UsageError(
            f"{where}: no roots for environment {environment}: {', '.join(missing)}",
            broker=adapter.name,
            remedy=f"set hosts to what `dragoman emulate {adapter.name}` prints",
        )
    for name, root in hosts.items():
        check_root(f"{where}: host {name}", root, environment)
    return hosts


def _wanted(adapter: Adapter) -> str:
    return ", ".join(credential.name for credential in adapter.credentials) or "no credentials"
