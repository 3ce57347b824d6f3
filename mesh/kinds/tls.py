"""BackendTLSPolicy, in the two forms that were published."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, field

from mesh.kinds.meta import Published, TargetRef
from mesh.yaml.names import Group, Hostname, KindName, Name, PreciseHostname
from mesh.yaml.shapes import Shape


class LocalRef(Shape, frozen=True, kw_only=True):
    group: Group
    kind: KindName
    name: Name


class SubjectAltName(Shape, frozen=True, kw_only=True):
    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: Annotated[str, Meta(max_length=253)] | None = None

    def mistakes(self) -> Iterator[tuple[int, str]]:
        for kind, name, value in (("Hostname", "hostname", self.hostname), ("URI", "uri", self.uri)):
            if bool(value) != (kind == self.type):
                yield self.line, f"{name}: {'is not allowed' if value else 'is missing'} with type {self.type}"


class Validation(Shape, frozen=True, kw_only=True):
    ca_certificate_refs: Annotated[tuple[LocalRef, ...], Meta(max_length=8)] = ()
    well_known_ca_certificates: Annotated[str, Meta(max_length=63)] = field(name="wellKnownCACertificates", default="")
    hostname: PreciseHostname
    subject_alt_names: Annotated[tuple[SubjectAltName, ...], Meta(max_length=5)] = ()

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if bool(self.ca_certificate_refs) == bool(self.well_known_ca_certificates):
            yield self.line, "caCertificateRefs and wellKnownCACertificates: exactly one of them must be given"


class BackendTlsSpec(Shape, frozen=True, kw_only=True):
    unheeded = frozenset({"options"})
    target_refs: Annotated[tuple[TargetRef, ...], Meta(min_length=1, max_length=16)]
    validation: Validation


class BackendTlsPolicy(Published, frozen=True, kw_only=True):
    """v1alpha3 and v1."""

    spec: BackendTlsSpec


class OldTls(Shape, frozen=True, kw_only=True):
    ca_cert_refs: Annotated[tuple[LocalRef, ...], Meta(max_length=8)] = ()
    well_known_ca_certs: Annotated[str, Meta(max_length=63)] = field(name="wellKnownCACerts", default="")
    hostname: PreciseHostname

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if bool(self.ca_cert_refs) == bool(self.well_known_ca_certs):
            yield self.line, "caCertRefs and wellKnownCACerts: exactly one of them must be given"


class OldBackendTlsSpec(Shape, frozen=True, kw_only=True):
    target_ref: TargetRef
    tls: OldTls


class OldBackendTlsPolicy(Published, frozen=True, kw_only=True):
    """v1alpha2."""

    spec: OldBackendTlsSpec
