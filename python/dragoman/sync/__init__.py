"""The blocking face of `dragoman`: the same names, for code without an event loop.

One background thread per process runs every connection. A call waits for its outcome; interrupting it (Ctrl-C) stops
the waiting, never the work. Handlers run on a dispatcher thread of each client, where they may call anything and take
their time; with ``inline=True`` they run on the I/O thread, at once, and may call nothing that blocks.
"""

from dragoman.sync.client import Client
from dragoman.sync.connecting import connect

__all__ = ["Client", "connect"]
