"""Random rules and requests that often meet: few names, few values, paths out of few segments."""

from hypothesis import strategies as st

from proxy.core.policy.http import NO_FILTERS, Cors, Filters, HttpRule, HttpTarget, Mirror
from proxy.core.route.filters import HeaderEdits, PathEdit, Redirect, Rewrite
from proxy.core.route.match import Kind, Match, Path, Text
from proxy.core.route.target import normal_path
from tests.unit.cext.route.both import cluster

SEGMENTS = st.sampled_from(["a", "b", "ab", "a.b", "c~", "%2Fa", "é", ""])
PATHS = st.lists(SEGMENTS, max_size=3).map(lambda parts: normal_path("/" + "/".join(parts)))
PATH_PATTERNS = st.sampled_from(["/a.*", "/a|/b", "/[ab]+/.*", "/é", ".*", "/x"])
NAMES = st.sampled_from(["x-a", "x-b", "accept"])
VALUES = st.sampled_from(["1", "2", "1, 2", "", "é", "a b"])
PATTERNS = st.sampled_from(["[12]", "1.*", ".*", "é", "3"])


def _texts(names: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Text, ...]]:
    one = st.one_of(
        st.builds(Text, names, VALUES, st.just(Kind.EXACT)),
        st.builds(Text, names, VALUES, st.just(Kind.EXACT)),
        st.builds(Text, names, PATTERNS, st.just(Kind.REGEX)),
    )
    return st.lists(one, max_size=2, unique_by=lambda text: text.name).map(tuple)


MATCHES = st.builds(
    Match,
    path=st.one_of(
        st.builds(Path, st.just(Kind.EXACT), PATHS),
        st.builds(Path, st.just(Kind.PREFIX), PATHS),
        st.builds(Path, st.just(Kind.PREFIX), PATHS),
        st.builds(Path, st.just(Kind.REGEX), PATH_PATTERNS),
    ),
    headers=_texts(NAMES),
    parameters=_texts(st.sampled_from(["q", "é", "q q"])),
    method=st.sampled_from([None, None, "GET", "POST", "OPTIONS"]),
)

EDITED = st.sampled_from(["X-A", "x-a", "X-New", "Host", "Server", "vary", "Access-Control-Allow-Origin"])
WRITTEN = st.lists(st.tuples(EDITED, st.sampled_from(["new", "", "é"])), max_size=2).map(tuple)
EDITS = st.builds(HeaderEdits, set=WRITTEN, add=WRITTEN, remove=st.lists(EDITED, max_size=2).map(tuple))
PATH_EDITS = st.builds(PathEdit, st.sampled_from(["/new", "/new/", "", "/", "new", "/n w"]), st.booleans())
HOSTS = st.sampled_from([None, "new.example"])
REDIRECTS = st.builds(
    Redirect,
    status=st.sampled_from([301, 302, 303, 307, 308]),
    scheme=st.sampled_from([None, "http", "https"]),
    hostname=HOSTS,
    port=st.sampled_from([None, 80, 443, 8080]),
    path=st.none() | PATH_EDITS,
)
LISTS = st.sampled_from([(), ("*",), ("GET", "PUT"), ("x-a",)])
CORS = st.builds(
    Cors,
    allow_origins=st.lists(
        st.sampled_from(["*", "https://a.example", "https://*.example", "http://*.b.example:81"]), max_size=2
    ).map(tuple),
    allow_credentials=st.booleans(),
    allow_methods=LISTS,
    allow_headers=LISTS,
    expose_headers=LISTS,
    max_age_s=st.sampled_from([5, 600]),
)
CLUSTERS = st.sampled_from(["v1", "v2", "v3"]).map(cluster)
MIRRORS = st.builds(Mirror, st.none() | CLUSTERS, st.sampled_from([0, 1, 50, 100]), st.just(100))


def _filters(redirects: st.SearchStrategy[Redirect | None]) -> st.SearchStrategy[Filters]:
    return st.just(NO_FILTERS) | st.builds(
        Filters,
        request=EDITS,
        response=EDITS,
        redirect=redirects,
        rewrite=st.none() | st.builds(Rewrite, hostname=HOSTS, path=st.none() | PATH_EDITS),
        mirrors=st.lists(MIRRORS, max_size=3).map(tuple),
        cors=st.none() | CORS,
        unobeyed=st.sampled_from([(), (), (), ("ExternalAuth",)]),
    )


TARGETS = st.lists(
    st.builds(HttpTarget, st.sampled_from([0, 1, 1, 5]), st.none() | CLUSTERS, filters=_filters(st.none())), max_size=3
).map(tuple)
RULES = st.lists(
    st.builds(
        HttpRule, match=MATCHES, targets=TARGETS, route=st.just("shop/r"), rule=st.just("0"),
        filters=_filters(st.none() | st.none() | REDIRECTS),
    ),
    max_size=6,
)  # fmt: skip

ORIGINS = st.sampled_from(
    ["https://a.example", "https://x.y.example", "https://.example", "http://q.b.example:81", "null"]
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["X-A", "x-a", "X-B", "Accept"]), VALUES),
        st.tuples(st.just("Origin"), ORIGINS),
        st.tuples(st.sampled_from(["Access-Control-Request-Method", "access-control-request-headers"]), VALUES),
        st.just(("Connection", "close")),
    ),
    max_size=5,
)
RAW_SEGMENTS = st.sampled_from(
    ["a", "b", "ab", "a.b", "c%7e", "c~", "%2fa", "%C3%A9", "é", "", ".", "..", "%2e", "%2E%2e", "%", "%g1"]
)
QUERIES = st.sampled_from(
    [
        "",
        "?",
        "?q=1",
        "?q=2&q=1",
        "?q=%31",
        "?q+q=a+b",
        "?%C3%A9=%C3%A9",
        "?é=2&",
        "?&&q",
        "?q=1%2C+2",
        "?u=http://x/y",
        "?q=%FF",
    ]
)
TARGET_TEXTS = st.builds(
    lambda scheme, parts, query: scheme + "/" * (bool(parts) or not scheme) + "/".join(parts) + query,
    st.sampled_from(["", "", "", "http://shop.example", "HTTPS://[::1]:8443", "http://shop:8080"]),
    st.lists(RAW_SEGMENTS, max_size=4),
    QUERIES,
)
HOST_LINES = st.sampled_from(["Host: shop", "host:  shop:8080", "Host: [::1]:80", "HOST: [::1]", "Host: shop:"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from(["GET", "GET", "POST", "OPTIONS", "get"]))
    target = "*" if method == "OPTIONS" and draw(st.integers(0, 3)) == 0 else draw(TARGET_TEXTS)
    version = draw(st.sampled_from(["1.1", "1.1", "1.0"]))
    lines = [f"{name}: {value}" for name, value in draw(HEADERS)]
    if version == "1.1" or draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), draw(HOST_LINES))
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode()
