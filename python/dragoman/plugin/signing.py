"""Signatures that brokers ask for on requests, over exactly the bytes that leave.

Example
-------
>>> hmac_sha256_hex("secret", "symbol=LTCBTC&side=BUY")
'dad1ffef8e5e25ef2d6267294a232b291a6de78bedc9c46d6b73807adcd444cb'
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

from dragoman.errors import UsageError


def hmac_sha256_hex(secret: str, payload: str) -> str:
    """Return HMAC-SHA256 of text in lower-case hex."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def is_pem(secret: str) -> bool:
    """Whether a secret is a private key in PEM, and no shared secret."""
    return secret.lstrip().startswith("-----BEGIN ")


def is_ed25519(secret: str) -> bool:
    """Whether a secret is an Ed25519 private key in PEM. Raises UsageError as `sign_pem`."""
    if not is_pem(secret):
        return False
    key = _load(secret)
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return isinstance(key, ed25519.Ed25519PrivateKey)


def sign_pem(pem: str, payload: str) -> str:
    """Return the signature of text by a private key, in base64: Ed25519, or RSA PKCS #1 v1.5 with SHA-256.

    Raises
    ------
    UsageError
        The text is no private key without a passphrase, or one of another kind; or the package that signs is missing.
    """
    key = _load(pem)
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.sign(payload.encode())).decode()
    if isinstance(key, rsa.RSAPrivateKey):
        return base64.b64encode(key.sign(payload.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    raise UsageError(f"the private key is a {type(key).__name__}", remedy="use Ed25519 or RSA")


@lru_cache(maxsize=8)
def _load(pem: str) -> object:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise UsageError(
            "signing with a private key needs the package cryptography",
            remedy="install dragoman[signing], or use a shared secret (HMAC)",
        ) from error
    try:
        return serialization.load_pem_private_key(pem.strip().encode(), password=None)
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the secret begins like a private key in PEM and is none: {type(error).__name__}",
            remedy="give the whole PKCS #8 file without a passphrase, line breaks kept",
        ) from None
