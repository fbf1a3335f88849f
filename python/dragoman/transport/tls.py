"""The one place where TLS contexts are made. There is no switch that turns verification off."""

from __future__ import annotations

import ssl


def client_context(cafile: str | None = None) -> ssl.SSLContext:
    """Make a client context: TLS 1.2 or later, certificate and host name checked.

    Parameters
    ----------
    cafile : str or None
        PEM file of further roots to trust, beside the system's: a company's own authority, a test's.

    Raises
    ------
    OSError
        If `cafile` cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cafile is not None:
        context.load_verify_locations(cafile)
    return context
