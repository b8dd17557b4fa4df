"""Web Push as push services and browsers have it: encrypted for one browser (RFC 8291, 8188), signed (RFC 8292)."""

from __future__ import annotations

import base64
import hmac
import json
import os
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORD_BYTES = 4096  # what a push service takes (RFC 8030 7.2), and the only record of a message
PLAIN_BYTES = RECORD_BYTES - 86 - 17  # less its head, the mark of its end and its tag
SIGNED_S = 12 * 3600.0  # how long a signature is good; 24 h are the most


def encoded(data: bytes) -> str:
    """Base64url without padding, as all of Web Push has it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def check_keys(p256dh: str, auth: str) -> None:
    """Raises ValueError for keys that no browser has."""
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(p256dh))
    if len(decoded(auth)) != 16:
        raise ValueError("auth has 16 bytes")


def encrypted(
    plain: bytes, p256dh: str, auth: str, *, salt: bytes = b"", key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    """The body of a message to the browser with these keys. `salt` and `key` are new for each message."""
    if len(plain) > PLAIN_BYTES:
        raise ValueError(f"{len(plain)} bytes are too many for a push message")
    salt, key = salt or os.urandom(16), key or ec.generate_private_key(ec.SECP256R1())
    browser = decoded(p256dh)
    shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), browser))
    own = _point(key.public_key())
    shared = hmac.digest(decoded(auth), shared, "sha256")
    secret = hmac.digest(shared, b"WebPush: info\0" + browser + own + b"\1", "sha256")
    root = hmac.digest(salt, secret, "sha256")
    content_key = hmac.digest(root, b"Content-Encoding: aes128gcm\0\1", "sha256")[:16]
    nonce = hmac.digest(root, b"Content-Encoding: nonce\0\1", "sha256")[:12]
    head = salt + RECORD_BYTES.to_bytes(4, "big") + bytes((len(own),)) + own
    return head + AESGCM(content_key).encrypt(nonce, plain + b"\2", None)  # 2 marks the last record


def new_key() -> str:
    """A private key of ours, as it is kept."""
    made = ec.generate_private_key(ec.SECP256R1())
    return encoded(made.private_numbers().private_value.to_bytes(32, "big"))


class Signer:
    """Says to push services who sends: browsers take messages only from whom they gave their address to."""

    def __init__(self, kept: str):
        self._key = ec.derive_private_key(int.from_bytes(decoded(kept), "big"), ec.SECP256R1())
        self.public = encoded(_point(self._key.public_key()))

    def authorization(self, endpoint: str, contact: str, now: float) -> str:
        """The header for a message to `endpoint`."""
        url = urllib.parse.urlsplit(endpoint)
        claims = {"aud": f"{url.scheme}://{url.netloc}", "exp": int(now + SIGNED_S), "sub": contact}
        parts = ({"typ": "JWT", "alg": "ES256"}, claims)
        signed = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"vapid t={signed}.{encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}, k={self.public}"
