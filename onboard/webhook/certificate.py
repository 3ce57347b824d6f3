"""Certificates of the webhook: an authority of its own and what it signs. Pure but for keys, which are random.

All that is kept stands in one `Kept`, which is what the cluster's Secret holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, KeyUsage

AUTHORITY_LIFE = timedelta(days=3650)
SERVING_LIFE = timedelta(days=90)
_EARLIER = timedelta(hours=1)
"""Certificates begin a little in the past: clocks of nodes differ."""


@dataclass(frozen=True, slots=True)
class Kept:
    """PEM texts. former: an authority that some API server may still know as the only one."""

    authority: bytes
    authority_key: bytes
    serving: bytes
    serving_key: bytes
    former: bytes = b""

    @property
    def bundle(self) -> bytes:
        """What the API server is to trust: through a change of authority, both."""
        return self.authority + self.former


def renewed(kept: Kept | None, names: Sequence[str], now: datetime) -> Kept:
    """The same object when nothing is due: a certificate is when a third of its life is left, or its names differ.

    now: with its time zone.
    """
    if kept is None or _is_due(kept.authority, AUTHORITY_LIFE, now):
        authority_key = _new_key()
        authority = _signed(authority_key, authority_key, None, names, AUTHORITY_LIFE, now)
        return _with_serving(authority, authority_key, names, now, kept.authority if kept is not None else b"")
    if _is_due(kept.serving, SERVING_LIFE, now) or _names_of(kept.serving) != sorted(names):
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(kept.authority_key, None)
        return _with_serving(_loaded(kept.authority), key, names, now, kept.former)  # type: ignore[arg-type] # ours
    return kept


def _with_serving(
    authority: "Certificate", key: "EllipticCurvePrivateKey", names: Sequence[str], now: datetime, former: bytes
) -> Kept:
    serving_key = _new_key()
    serving = _signed(serving_key, key, authority, names, SERVING_LIFE, now)
    return Kept(_pem(authority), _key_pem(key), _pem(serving), _key_pem(serving_key), former)


def _new_key() -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _signed(  # noqa: PLR0917  # called twice, from above
    key: "EllipticCurvePrivateKey",
    signer: "EllipticCurvePrivateKey",
    authority: "Certificate | None",
    names: Sequence[str],
    life: timedelta,
    now: datetime,
) -> "Certificate":
    """authority None: the certificate is one, and signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    # A common name has 64 characters at most; what counts are the alternative names.
    title = "tidegate webhook" if authority is not None else "tidegate webhook authority"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(signs=authority is None), critical=True)
    )
    if authority is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> "KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_due(pem: bytes, life: timedelta, now: datetime) -> bool:
    certificate = _loaded(pem)
    # Debian 12's cryptography knows the naive time only, newer ones warn of it.
    end = getattr(certificate, "not_valid_after_utc", None) or certificate.not_valid_after.replace(tzinfo=UTC)
    return bool(end - now < life / 3)


def _names_of(pem: bytes) -> list[str]:
    from cryptography import x509

    found = _loaded(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName))


def _loaded(pem: bytes) -> "Certificate":
    from cryptography import x509

    return x509.load_pem_x509_certificate(pem)


def _pem(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: "EllipticCurvePrivateKey") -> bytes:
    from cryptography.hazmat.primitives import serialization as to

    return key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
