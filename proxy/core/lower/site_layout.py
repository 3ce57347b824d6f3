"""The structs of cext/engine/route/spec.h as bytes; `proxy.lanes.parsed` compares the sizes with the engine's."""

from struct import Struct

PIECE = Struct("=2I")
RULE = Struct("=iI" + 5 * "2I" + "2I2i" + "4I8I2d")
"""Kind of path, filters; path, method, conditions, backends, route; both timeouts, session, unused; retries: attempts,
kinds of failure, both back-offs, statuses, budget."""
SESSION = Struct("=2i" + 2 * "2I" + "2Q")
"""Header, permanent; name, path; absolute and idle time."""
CONDITION = Struct("=2i" + 2 * "2I")
"""Subject, kind; name, value."""
BACKEND = Struct("=Q2I2i")
"""Cluster, weight, filters, resolved, unused."""
EDIT = Struct("=i" + 2 * "2I")
"""How; name, value."""
MIRROR = Struct("=Q2I")
"""Cluster, numerator, denominator."""
CORS = Struct("=" + 5 * "2I" + "i")
"""Origins, methods, headers, exposed headers, age; credentials."""
FILTERS = Struct("=" + 3 * "2I" + "2i" + 2 * "i2I2I" + "2i2I")
"""Edits of the request, of the answer, mirrors; unobeyed, CORS; rewrite and redirect (bits, host, path); the redirect's
status, port, scheme."""
POLICY = Struct("=6d" + 3 * "2I" + "2I" + "4I")
"""Rate, shedding, delay, abort, quantile and budget of hedges; headers of rate, shedding and deadline; conditions of
faults; burst, delay, status of aborts, least delay of hedges."""

EXACT, PREFIX, REGEX = 0, 1, 2
HEADER, PARAMETER = 0, 1
SET, ADD, REMOVE = 0, 1, 2
NEW_HOST, NEW_PATH, NEW_PREFIX = 1, 2, 4
ASK_ALWAYS, HTTPS = 1, 2
RETRY_CONNECT, RETRY_RESET, RETRY_TIMEOUT = 1, 2, 4
FIRST_STATUS, STATUS_WORDS = 400, 8
NO_SESSION = 0
NO_CLUSTER = 0
"""In place of a number: to where the connection was meant to go."""

LAYOUT = {
    "tg_piece": PIECE,
    "tg_site_rule": RULE,
    "tg_session": SESSION,
    "tg_condition": CONDITION,
    "tg_backend": BACKEND,
    "tg_edit": EDIT,
    "tg_mirror": MIRROR,
    "tg_cors": CORS,
    "tg_filters": FILTERS,
    "tg_request_policy": POLICY,
}
