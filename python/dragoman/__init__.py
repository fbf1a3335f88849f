"""One order, position, margin and market-data model, spoken to every broker in its own language."""
