"""How the panes lie on the screen: two columns, or one below another where it is narrow, the account first."""

CSS = """
Screen { background: $background; }
#heading { height: 1; background: $panel; }
#body { height: 1fr; }
#left { width: 46; dock: left; }
#right { width: 1fr; }
#left, #right { overflow-y: auto; scrollbar-size-vertical: 1; }
Drawing { text-wrap: nowrap; text-overflow: ellipsis; }
Drawing, Listing, #held {
    border: round $surface-lighten-2; padding: 0;
    border-title-color: $text-muted; border-subtitle-color: $text-disabled; border-subtitle-align: left;
}
#heading, #totals { border: none; }
Listing { scrollbar-size: 1 1; overflow-x: hidden; background: $background; }
Listing:focus, #held:focus-within { border: round $accent; border-title-color: $text; }
Listing > .datatable--header { background: $background; }
Listing > .datatable--cursor { background: $surface; text-style: none; }
Listing:focus > .datatable--cursor { background: $primary-muted; }
Listing > .datatable--hover { background: $surface; }
#ladder { height: 14; }
#prices { height: 1fr; min-height: 6; }
#margins, #lanes { height: auto; max-height: 10; min-height: 3; }
#orders { height: 3fr; min-height: 7; }
#held { height: 3fr; min-height: 7; }
#held > Listing { border: none; height: 1fr; }
#held > Listing:focus { border: none; }
#totals { height: auto; max-height: 3; background: $surface; padding: 0 1; }
#machinery { height: 2fr; min-height: 5; }
#rules { width: 3fr; height: 100%; }
#streams { width: 2fr; height: 100%; }
#alerts { height: 2fr; min-height: 5; }
.-narrow #body { layout: vertical; overflow-y: auto; }
.-narrow #left, .-narrow #right { width: 100%; height: auto; overflow-y: hidden; dock: none; }
.-narrow #ladder { height: 9; }
.-narrow #prices, .-narrow #held { height: 9; }
.-narrow #orders { height: 10; }
.-narrow #machinery { layout: vertical; height: auto; }
.-narrow #rules, .-narrow #streams { width: 100%; height: 6; }
.-narrow #alerts { height: 8; }
Question, Help { align: center middle; background: $background 60%; }
#question, #help {
    width: auto; max-width: 90%; height: auto; padding: 1 3; background: $surface; border: thick $warning;
}
#help { border: round $accent; }
"""
