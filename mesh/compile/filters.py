"""Filters of routes -> `proxy.core.policy.http.Filters`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mesh.compile.attachment import Attachment, Share
from mesh.compile.in_force import FILTERS_NOT_IN_FORCE
from mesh.documents import Document
from mesh.kinds.filters import Cors as CorsSpec
from mesh.kinds.filters import (
    GrpcFilter,
    Header,
    HeaderModifier,
    HttpFilter,
    PathModifier,
    RequestMirror,
    RequestRedirect,
    UrlRewrite,
)
from mesh.yaml.problems import Problems
from proxy.core.policy.http import NO_FILTERS, Cors, Filters
from proxy.core.route.filters import HeaderEdits, PathEdit, Redirect, Rewrite

AnyFilter = HttpFilter | GrpcFilter


@dataclass(frozen=True, slots=True)
class MirrorDraft:
    share: Share
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class FiltersDraft:
    """`done` lacks the mirrors, whose clusters are known only once all Services have been compiled."""

    done: Filters = NO_FILTERS
    mirrors: tuple[MirrorDraft, ...] = ()


NOTHING = FiltersDraft()


def filters(specs: Iterable[AnyFilter], document: Document, attach: Attachment, problems: Problems) -> FiltersDraft:
    found = NO_FILTERS
    mirrors: list[MirrorDraft] = []
    for spec in specs:
        if spec.type in FILTERS_NOT_IN_FORCE:
            what = f"filter {spec.type} is not obeyed in this version: requests for its rule are answered 500"
            problems.warning(document.at(spec.line), f"{document}: {what}")
            found = replace(found, unobeyed=(*found.unobeyed, spec.type))
        if spec.request_header_modifier is not None:
            found = replace(found, request=_edits(spec.request_header_modifier))
        if spec.response_header_modifier is not None:
            found = replace(found, response=_edits(spec.response_header_modifier))
        if spec.request_mirror is not None:
            mirrors.append(_mirror(spec.request_mirror, document, attach))
        if isinstance(spec, HttpFilter):
            found = _of_http(spec, found)
    return FiltersDraft(found, tuple(mirrors)) if mirrors or found != NO_FILTERS else NOTHING


def _of_http(spec: HttpFilter, found: Filters) -> Filters:
    if spec.request_redirect is not None:
        return replace(found, redirect=_redirect(spec.request_redirect))
    if spec.url_rewrite is not None:
        return replace(found, rewrite=_rewrite(spec.url_rewrite))
    return found if spec.cors is None else replace(found, cors=_cors(spec.cors))


def _edits(spec: HeaderModifier) -> HeaderEdits:
    remove = dict.fromkeys(name.lower() for name in spec.remove)
    return HeaderEdits(set=_first_of_name(spec.set), add=_first_of_name(spec.add), remove=tuple(remove))


def _first_of_name(headers: Iterable[Header]) -> tuple[tuple[str, str], ...]:
    """Of several entries for one name the first counts, as Gateway API has it."""
    found: dict[str, tuple[str, str]] = {}
    for one in headers:
        found.setdefault(one.name.lower(), (one.name, one.value))
    return tuple(found.values())


def _mirror(spec: RequestMirror, document: Document, attach: Attachment) -> MirrorDraft:
    share = attach.share(document, spec.backend_ref, fate="nothing is mirrored", field="requestMirror")
    if spec.fraction is not None:
        return MirrorDraft(share, spec.fraction.numerator, spec.fraction.denominator)
    return MirrorDraft(share, 100 if spec.percent is None else spec.percent, 100)


def _redirect(spec: RequestRedirect) -> Redirect:
    return Redirect(
        status=spec.status_code,
        scheme=spec.scheme,
        hostname=spec.hostname,
        port=spec.port,
        path=None if spec.path is None else _path(spec.path),
    )


def _rewrite(spec: UrlRewrite) -> Rewrite:
    return Rewrite(hostname=spec.hostname, path=None if spec.path is None else _path(spec.path))


def _path(spec: PathModifier) -> PathEdit:
    whole = spec.type == "ReplaceFullPath"
    return PathEdit((spec.replace_full_path if whole else spec.replace_prefix_match) or "", whole)


def _cors(spec: CorsSpec) -> Cors:
    return Cors(
        allow_origins=spec.allow_origins,
        allow_credentials=spec.allow_credentials,
        allow_methods=spec.allow_methods,
        allow_headers=spec.allow_headers,
        expose_headers=spec.expose_headers,
        max_age_s=spec.max_age,
    )
