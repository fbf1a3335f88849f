"""The doctor on the account: credentials, session, limits, and what the adapter makes of orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dragoman.checks import WireUnits
from dragoman.checks.kill import KillSwitch
from dragoman.cli.account import Account
from dragoman.cli.findings import Finding, fail, ok, said, warn
from dragoman.cli.output import moment
from dragoman.errors import AuthRequired, DragomanError
from dragoman.model import QuantityUnit
from dragoman.orders.stopping import switch_path
from dragoman.plugin import Adapter
from dragoman.runtime.base import Runtime
from dragoman.session.calendar import TradingCalendar
from dragoman.session.exchange_days import packaged
from dragoman.session.profiles import Profile
from dragoman.session.references import Reference
from dragoman.session.session import AccountSession

_NS = 1_000_000_000
_SOON_S = 900
_LOW = 0.1
_CALENDAR_DAYS = 14


async def credential_findings(adapter: Adapter, profile: Profile, runtime: Runtime) -> list[Finding]:
    """Fetch every credential the adapter declares from where the profile says it is; none is shown."""
    found: list[Finding] = []
    good: list[str] = []
    for declared in adapter.credentials:
        given = profile.credentials.get(declared.name)
        if given is None:
            remedy = f"add credentials.{declared.name} to the profile: {declared.meaning or 'by reference'}"
            found.append(fail("credentials", "CREDENTIAL_MISSING", f"{declared.name} is not in the profile", remedy))
            continue
        try:
            if isinstance(given, Reference):
                await given.resolve(runtime)
            good.append(declared.name)
        except DragomanError as error:
            found.append(fail("credentials", "CREDENTIAL_UNREACHABLE", said(error), error.remedy))
    if good:
        found.insert(0, ok("credentials", "CREDENTIALS_FOUND", f"found: {', '.join(good)}", names=good))
    return found


async def account_findings(at: Account, profile: Profile, runtime: Runtime) -> list[Finding]:
    """Show the kept token to the broker, and ask whose it is; say what its limits have left."""
    login = f"run: {at.spelled('login')}"
    kept = await runtime.in_worker(at.kept, runtime, profile)
    if kept is None:
        return [fail("token", "NO_TOKEN", f"{profile}: no session is kept, or it is over", login)]
    session = AccountSession(runtime, at.adapter, profile, read_only=True, may_log_in=False)
    try:
        await session.start()
        found = [_token_finding(at, session, login)]
        if at.adapter.capabilities.features.get("profile"):
            who = await session.run(at.adapter.profile(session.ctx), timeout_s=at.timeout)
            told = f"{who.account_id}{f', {who.name}' if who.name else ''}; enabled: {', '.join(who.exchanges) or '?'}"
            found.append(ok("account", "ACCOUNT_READ", told, account_id=who.account_id, exchanges=who.exchanges))
        found.append(_limits_finding(session))
        found.append(await _switch_finding(at, session))
        return found
    except AuthRequired as error:
        told = f"{kept.account}: the broker has ended the session"
        return [fail("token", "TOKEN_REFUSED", told, login, why=error.text)]
    except DragomanError as error:
        return [fail("account", "ACCOUNT_UNREADABLE", said(error), error.remedy or "try again")]
    finally:
        await session.close()


def _token_finding(at: Account, session: AccountSession, login: str) -> Finding:
    ends = session.expires_ns
    if ends is None:
        return ok("token", "TOKEN_ACCEPTED", f"of {session.ctx.account}; the broker does not say until when")
    left_s = (ends - session.ctx.now_ns) / _NS
    told = f"of {session.ctx.account}, until {moment(ends, at.zone)} ({_span(left_s)} left)"
    values = {"account": session.ctx.account, "expires": ends}
    if left_s < _SOON_S:
        return warn("token", "TOKEN_ENDS_SOON", told, f"{login} --force", **values)
    return ok("token", "TOKEN_ACCEPTED", told, **values)


def _span(seconds: float) -> str:
    hours, minutes = divmod(int(max(0.0, seconds)) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


async def _switch_finding(at: Account, session: AccountSession) -> Finding:
    """Say whether new orders of the account are stopped."""
    path = switch_path(session.state_dir, session.profile, session.ctx.account)
    switch = await session.runtime.in_worker(KillSwitch.open, session.runtime.disk, path)
    try:
        state = switch.state()
    finally:
        switch.close()
    if not state.engaged:
        return ok("kill_switch", "KILL_SWITCH_OFF", "orders may leave", epoch=state.epoch)
    why = f": {state.why}" if state.why else ""
    told = f"engaged by {state.who or 'nobody knows whom'}{why}; no new order leaves"
    return fail(
        "kill_switch", "KILL_SWITCH_ENGAGED", told, f"once that is cleared up, run: {at.spelled('kill')} --release"
    )


def _limits_finding(session: AccountSession) -> Finding:
    """Say what is left, as all processes of this machine count it; limits of a day are those that run out."""
    state = session.limiter.state()
    told = ", ".join(f"{name} {row['left']} of {row['count']}" for name, row in state.items() if "left" in row)
    values = {name: {key: row[key] for key in ("count", "used", "left") if key in row} for name, row in state.items()}
    daily = {name: row for name, row in state.items() if name.endswith("/1d") and "left" in row}
    spent = [name for name, row in daily.items() if row["left"] <= 0]
    low = [name for name, row in daily.items() if row["left"] < row["count"] * _LOW]
    if spent:
        return fail("limits", "LIMIT_SPENT", f"{', '.join(spent)} spent: {told}", "no more of these today", **values)
    if low:
        return warn("limits", "LIMIT_LOW", f"{', '.join(low)} nearly spent: {told}", "spare the rest", **values)
    return ok("limits", "LIMITS_LEFT", told or "the adapter declares none", **values)


def calendar_finding(adapter: Adapter, profile: Profile, now_ns: int) -> Finding:
    """Say of which exchanges the holidays of today and of the next two weeks are not known."""
    calendar = TradingCalendar(adapter.hours, adapter.session.time_zone, lambda: now_ns, packaged() + profile.days)
    names = sorted({name for hours in adapter.hours for name in hours.exchanges if not calendar.is_endless(name)})
    today = datetime.fromtimestamp(now_ns // _NS, UTC).astimezone(calendar.zone).date()
    lacking = {
        day: [name for name in names if not calendar.days.covers(name, day)]
        for day in (today, today + timedelta(days=_CALENDAR_DAYS))
    }
    remedy = "name their days in a file under `calendars` of the profile, see docs/calendar.md"
    for day, missing in lacking.items():
        if missing:
            told = f"nothing tells of {', '.join(missing)} on {day}"
            code = "CALENDAR_UNKNOWN" if day == today else "CALENDAR_ENDS"
            return warn("calendar", code, told, remedy, exchanges=missing, day=day.isoformat())
    told = f"holidays of {', '.join(names)} are known" if names else "what it lists trades around the clock"
    return ok("calendar", "CALENDAR_KNOWN", told, exchanges=names)


def adapter_findings(adapter: Adapter, profile: Profile) -> list[Finding]:
    """Say what becomes of market orders, of algo ids, and of quantities nobody has confirmed the unit of."""
    can = adapter.capabilities
    found = [
        {
            "native": ok("market_protection", "NATIVE", "MARKET orders go out as they are"),
            "protected": ok(
                "market_protection",
                "AUTOMATIC",
                "MARKET orders carry the broker's automatic protection unless market_protection names a percentage",
            ),
            "refused": warn("market_protection", "REFUSED", "the broker takes no MARKET orders", "use LIMIT"),
        }[can.market_orders],
        ok("algo_id", "PER_ORDER", "an order carries the algo id it is placed with, or none (--algo-id)")
        if "algo_id" in can.order_fields
        else ok("algo_id", "NOT_CARRIED", f"{adapter.name} takes none with an order"),
    ]
    try:
        WireUnits(adapter, profile.settings)
    except DragomanError as error:
        return [*found, fail("quantity_unit", "SETTING_WRONG", said(error), error.remedy)]
    settled = profile.settings.get("quantity_unit", {})
    opened = [
        segment
        for segment, unit in sorted(can.quantity_unit.items())
        if unit is QuantityUnit.UNVERIFIED and segment not in settled
    ]
    if opened:
        told = (
            f"orders in {', '.join(opened)} are refused until settings.quantity_unit says what quantities count there"
        )
        found.append(ok("quantity_unit", "UNVERIFIED", told, segments=opened))
    return found
