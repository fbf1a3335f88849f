"""What is said of every rule when it is added: where it lives, and what happens to it if this process dies."""

from __future__ import annotations

from dragoman.model import Product
from dragoman.rules.model import DailyLoss, MarginFloor, PriceRule, Rule, TimeExit, TrailingStop


def statement_of(rule: Rule, *, durable: bool, at_broker: str = "") -> str:
    """Return it, in one or two sentences.

    Parameters
    ----------
    rule : Rule
    durable : bool
        Whether it is in the journal.
    at_broker : str
        What it is at the broker, where it lives there.
    """
    if at_broker:
        return (
            f"It rests at the broker as {at_broker}: it acts whether or not this process lives, by the broker's rules,"
            " and it does not know of other exits while this process is gone."
        )
    if not durable:
        return (
            "It lives in this process alone, which keeps no journal: if the process dies, nothing guards the position."
        )
    ends = _HOLDINGS if getattr(rule, "product", None) is Product.DELIVERY else ""
    dead = "Nothing guards the position while no process runs"
    if isinstance(rule, TrailingStop) or getattr(rule, "trailing", False):
        back = "the next run goes on from the level that was written down last, which never moves away again"
    elif isinstance(rule, TimeExit):
        back = (
            f"a run that begins within {rule.late_s:.0f} s of its time still acts, a later one says that it is too late"
        )
    elif isinstance(rule, MarginFloor | DailyLoss):
        back = "the next run looks at once"
    else:
        back = "the next run arms it again, and it fires at the first price beyond its level"
    fired = "; an exit that was under way is gone on with, once" if isinstance(rule, PriceRule) else ""
    return f"It lives in this process and in the journal. {dead}; {back}{fired}.{ends}"


_HOLDINGS = (
    " Shares bought for delivery are holdings from the next day on, which rules do not guard: it ends then. Kept at the"
    ' broker (where="broker") it stands overnight.'
)
