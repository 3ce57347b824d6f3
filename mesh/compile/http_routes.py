"""HTTPRoutes and GRPCRoutes that are attached to Services -> the rules of a port, in the order in which they are asked.

A rule is drafted once for all ports that it is attached to. Which clusters it sends to depends on the address family of
the destination, so `http_rules` fills them in for each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mesh.compile import filters, matches
from mesh.compile.attachment import Attachment, PortKey, Share
from mesh.compile.filters import FiltersDraft
from mesh.compile.in_force import ROUTES_NOT_IN_FORCE
from mesh.compile.rule_settings import RetriesDraft, persistence, retries, timeouts
from mesh.compile.traffic import age
from mesh.documents import Document, Documents
from mesh.kinds.grpc import GrpcBackendRef, GrpcMatch, GrpcRoute, GrpcRule
from mesh.kinds.http import HttpBackendRef, HttpMatch, HttpRoute
from mesh.kinds.http import HttpRule as RuleSpec
from mesh.yaml.problems import Problems
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import Filters, HttpRule, HttpTarget, Mirror
from proxy.core.policy.settings import Retries
from proxy.core.route.match import EVERYTHING, Match
from proxy.core.route.precedence import Origin, order

_FATE = "its share of the requests is answered 500"
_NEVER = "9999-12-31T23:59:59Z"


@dataclass(frozen=True, slots=True)
class BackendDraft:
    share: Share
    name: str
    filters: FiltersDraft


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """`base` lacks match, targets, mirrors and retries."""

    base: HttpRule
    filters: FiltersDraft
    backends: tuple[BackendDraft, ...]
    retries: RetriesDraft | None

    def shares(self) -> Iterator[Share]:
        for backend in self.backends:
            yield backend.share
            yield from (one.share for one in backend.filters.mirrors)
        yield from (one.share for one in self.filters.mirrors)


@dataclass(frozen=True, slots=True)
class Asked:
    match: Match
    draft: RuleDraft


Rules = dict[PortKey, tuple[Asked, ...]]
Names = dict[PortKey, tuple[str, ...]]
Route = HttpRoute | GrpcRoute


def drafts(documents: Documents, attach: Attachment, problems: Problems) -> tuple[Rules, Names]:
    """The rules of each port, and the names of the routes that they come from, the oldest first."""
    found: dict[PortKey, list[tuple[tuple[object, ...], Asked]]] = {}
    names: dict[PortKey, list[str]] = {}
    routes: list[tuple[Document, Route]] = [*documents.of(HttpRoute), *documents.of(GrpcRoute)]
    for document, route in sorted(routes, key=lambda pair: age(pair[0])):
        if document.kind in ROUTES_NOT_IN_FORCE:
            problems.warning(
                document.place,
                f"{document} is not obeyed in this version: requests that it matches go to the Service itself",
            )
        made = _Route(document, attach, problems).asked(route)
        if not made:
            problems.warning(document.place, f"{document}: no rules: no effect")
            continue
        for key in attach.ports(document, route.spec.parent_refs):
            producer = not attach.consumes(document, key)
            found.setdefault(key, []).extend(((producer, *rank), one) for rank, one in made)
            names.setdefault(key, []).append(str(document))
    rules = {key: tuple(one for _, one in sorted(some, key=lambda pair: pair[0])) for key, some in found.items()}
    return rules, {key: tuple(some) for key, some in names.items()}


class _Route:
    def __init__(self, document: Document, attach: Attachment, problems: Problems) -> None:
        self._document = document
        self._attach = attach
        self._problems = problems

    def asked(self, route: Route) -> list[tuple[tuple[object, ...], Asked]]:
        found = []
        created = str(self._document.object.metadata.creation_timestamp)
        specs: tuple[RuleSpec | GrpcRule, ...] = route.spec.rules
        for number, spec in enumerate(specs):
            draft = self._draft(number, spec)
            for index, match in enumerate(_matches(spec)):
                origin = Origin(
                    "" if created == _NEVER else created, self._document.namespace, self._document.name, number, index
                )
                found.append((order(match, origin), Asked(match, draft)))
        return found

    def _draft(self, number: int, spec: RuleSpec | GrpcRule) -> RuleDraft:
        document, attach, problems = self._document, self._attach, self._problems
        if spec.session_persistence is not None and "sessionPersistence" in ROUTES_NOT_IN_FORCE:
            where = document.at(spec.session_persistence.line)
            problems.warning(where, f"{document}: sessionPersistence is not obeyed in this version")
        found = HttpRule(
            match=EVERYTHING,
            targets=(),
            route=f"{document.namespace}/{document.name}",
            rule=spec.name or str(number),
            kind=document.kind,
            persistence=None if spec.session_persistence is None else persistence(spec.session_persistence),
        )
        if isinstance(spec, RuleSpec):
            found = replace(found, timeouts=timeouts(spec.timeouts))
        return RuleDraft(
            base=found,
            filters=filters.filters(spec.filters, document, attach, problems),
            backends=tuple(self._backend(ref) for ref in spec.backend_refs),
            retries=None if not isinstance(spec, RuleSpec) or spec.retry is None else retries(spec.retry),
        )

    def _backend(self, ref: HttpBackendRef | GrpcBackendRef) -> BackendDraft:
        share = self._attach.share(self._document, ref, fate=_FATE)
        return BackendDraft(share, ref.name, filters.filters(ref.filters, self._document, self._attach, self._problems))


def _matches(spec: RuleSpec | GrpcRule) -> list[Match]:
    if isinstance(spec, RuleSpec):
        return [matches.of_http(one) for one in spec.matches or (HttpMatch(),)]
    return [matches.of_grpc(one) for one in spec.matches or (GrpcMatch(),)]


def http_rules(
    asked: tuple[Asked, ...], cluster: Callable[[Share], Cluster | None], settings: Retries | None
) -> tuple[HttpRule, ...]:
    """settings: the retries of the destination's TrafficPolicy, which a rule's own retries start from."""
    if not asked:
        return ()
    made: dict[int, HttpRule] = {}
    for one in asked:
        if id(one.draft) not in made:
            made[id(one.draft)] = _rule(one.draft, cluster, settings)
    return tuple(replace(made[id(one.draft)], match=one.match) for one in asked)


def _rule(draft: RuleDraft, cluster: Callable[[Share], Cluster | None], settings: Retries | None) -> HttpRule:
    def filled(given: FiltersDraft) -> Filters:
        mirrors = tuple(
            Mirror(cluster(one.share), one.numerator, one.denominator, one.share.unresolved) for one in given.mirrors
        )
        return replace(given.done, mirrors=mirrors) if mirrors else given.done

    return replace(
        draft.base,
        filters=filled(draft.filters),
        targets=tuple(
            HttpTarget(one.share.weight, cluster(one.share), one.share.unresolved, one.name, filled(one.filters))
            for one in draft.backends
        ),
        retries=None if draft.retries is None else draft.retries.on(settings),
    )
