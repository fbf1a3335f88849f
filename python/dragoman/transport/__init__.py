"""HTTP, WebSocket and their in-memory twins: they carry bytes and tell NOT_SENT from MAYBE_SENT."""
