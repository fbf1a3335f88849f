"""Signatures over the bytes that leave, by a shared secret and by private keys."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from dragoman.errors import UsageError
from dragoman.plugin.signing import hmac_sha256_hex, is_pem, sign_pem

PAYLOAD = "symbol=LTCBTC&side=BUY"


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_hmac_is_that_of_rfc_4231_case_2():
    found = hmac_sha256_hex("Jefe", "what do ya want for nothing?")
    assert found == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_ed25519_signature_verifies_with_the_public_key():
    key = ed25519.Ed25519PrivateKey.generate()
    key.public_key().verify(base64.b64decode(sign_pem(pem(key), PAYLOAD)), PAYLOAD.encode())


def test_rsa_signature_verifies_with_the_public_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature = base64.b64decode(sign_pem(pem(key), PAYLOAD))
    key.public_key().verify(signature, PAYLOAD.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_other_keys_and_broken_ones_are_refused_without_their_text():
    with pytest.raises(UsageError, match="use Ed25519 or RSA"):
        sign_pem(pem(ec.generate_private_key(ec.SECP256R1())), PAYLOAD)
    broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
    with pytest.raises(UsageError, match="is none") as caught:
        sign_pem(broken, PAYLOAD)
    assert "c2VjcmV0" not in str(caught.value)
    assert is_pem(broken)
    assert not is_pem("emu_secret")
