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
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for row in rows:
        console.print(f"[bold]{row['name']}[/] {escape(row.get('title', ''))}, {escape(row['distribution'])}")
        told = Table.grid(padding=(0, 2, 0, 0), pad_edge=True)
        told.add_column(style="dim")
        told.add_column(overflow="fold")
        if not row["loads"]:
            told.add_row("does not load", escape(row["error"]))
            console.print(told)
            continue
        features: dict[str, dict[str, str]] = row["features"]
        told.add_row("environments", ", ".join(row["environments"]))
        told.add_row("segments", ", ".join(row["segments"]))
        told.add_row("orders", ", ".join((*row["order_types"], *row["time_in_force"], *row["products"])))
        told.add_row("offers", ", ".join(name for name, one in features.items() if one["verdict"] == "YES"))
        for name, one in features.items():
            if one["verdict"] != "YES":
                told.add_row("does not offer", f"{name}: {escape(one['reason'])}")
        console.print(told)
