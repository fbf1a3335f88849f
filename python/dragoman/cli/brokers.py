"""``dragoman brokers``."""

from __future__ import annotations

from typing import Any

from dragoman.plugin.registry import Plugin, PluginError, plugins


def describe(plugin: Plugin) -> dict[str, Any]:
    """Return what an adapter declares; one that does not load says why and hurts no other."""
    row: dict[str, Any] = {
        "name": plugin.name,
        "distribution": f"{plugin.distribution} {plugin.version}".strip(),
        "loads": True,
    }
    try:
        adapter = plugin.load()
    except PluginError as error:
        return row | {"loads": False, "error": str(error)}
    can = adapter.capabilities
    return row | {
        "title": adapter.title,
        "environments": sorted({*adapter.hosts, "emulator"} if adapter.emulator else adapter.hosts),
        "segments": sorted(can.segments),
        "order_types": sorted(can.order_types),
        "products": sorted(can.products),
        "time_in_force": sorted(can.time_in_force),
        "modes": sorted(can.modes),
        "depth_levels": list(can.depth_levels),
        "market_orders": can.market_orders,
        "wire_id": {"carrier": can.wire_id_carrier, "length": can.wire_id_length},
        "features": {
            name: {"verdict": support.verdict, "reason": support.reason} for name, support in can.features.items()
        },
        "reasons": dict(can.reasons),
        "limits": [
            {"meter": limit.meter, "count": limit.count, "per": limit.per or limit.scope, "window": limit.window}
            for limit in adapter.limits
        ],
    }


def show_brokers(*, as_json: bool) -> None:
    rows = [describe(plugin) for _, plugin in sorted(plugins().items())]
    if as_json:
        import orjson

        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Installed adapters")
    for column in ("broker", "package", "offers", "does not offer"):
        table.add_column(column, overflow="fold")
    for row in rows:
        if not row["loads"]:
            table.add_row(row["name"], row["distribution"], "does not load", row["error"])
            continue
        features: dict[str, dict[str, str]] = row["features"]
        yes = [name for name, support in features.items() if support["verdict"] == "YES"]
        no = [f"{name}: {support['reason']}" for name, support in features.items() if support["verdict"] != "YES"]
        table.add_row(f"{row['name']}\n{row['title']}", row["distribution"], ", ".join(yes), "\n".join(no))
    Console().print(table)
