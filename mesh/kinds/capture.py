"""Capture (tidegate.dev/v1alpha1): the flags of `init` as a document."""

from typing import Annotated, Any

from msgspec import Meta, field

from mesh.kinds.meta import Metadata, Own

ListOrText = str | int | tuple[str | int, ...]
Word = Annotated[str, Meta(extra={"words": True})]
"""`off` without quotes is a boolean to YAML; here it is the word."""


class CaptureSpec(Own, frozen=True, kw_only=True):
    """The flags of `init` by their names in camel case. `intercept.intent.parsing` says what a value means.
    `lines` is no field of the document: it holds the line of each field."""

    lines: dict[str, int] = field(default_factory=dict)
    mode: Word | None = None
    outbound_port: ListOrText | None = None
    inbound_port: ListOrText | None = None
    dns_port: ListOrText | None = None
    include_outbound_cidrs: ListOrText | None = None
    exclude_outbound_cidrs: ListOrText | None = None
    include_outbound_ports: ListOrText | None = None
    exclude_outbound_ports: ListOrText | None = None
    include_inbound_ports: ListOrText | None = None
    exclude_inbound_ports: ListOrText | None = None
    exclude_inbound_cidrs: ListOrText | None = None
    include_outbound_gids: ListOrText | None = None
    exclude_outbound_gids: ListOrText | None = None
    exclude_outbound_for: ListOrText | None = None
    exclude_interfaces: ListOrText | None = None
    virtual_interfaces: ListOrText | None = None
    proxy_uid: ListOrText | None = None
    proxy_gid: ListOrText | None = None
    proxy_mark: ListOrText | None = None
    cgroup: ListOrText | None = None
    self_calls: Word | None = None
    dns: Word | None = None
    ipv6: Word | None = None
    drop_invalid: bool | None = None
    when_down: Word | None = None
    tproxy_mark: ListOrText | None = None
    tproxy_table: ListOrText | None = None


class Capture(Own, frozen=True, kw_only=True):
    api_version: str
    kind: str
    metadata: Metadata
    spec: CaptureSpec
    status: Any = None
