"""The broker's side: a simulated exchange, the emulator contract, and the host that carries bytes, time and faults."""
