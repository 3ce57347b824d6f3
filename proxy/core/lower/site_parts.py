"""What the rules of a site share: texts and filters, each of which is said once."""

from collections.abc import Callable

from proxy.core.decide.session import seconds
from proxy.core.lower import site_layout as layout
from proxy.core.policy.cluster import Cluster
from proxy.core.policy.http import Cors, Filters, Mirror, Persistence
from proxy.core.route.filters import HeaderEdits, PathEdit, sendable

_NOTHING = (0, 0)


class Parts:
    """Grows while a site is being lowered."""

    def __init__(self, number_of: Callable[[Cluster], int]) -> None:
        self.number_of = number_of
        self.text = bytearray()
        self.conditions = bytearray()
        self.backends = bytearray()
        self.filters = bytearray()
        self.edits = bytearray()
        self.mirrors = bytearray()
        self.cors = bytearray()
        self.pieces = bytearray()
        self.sessions = bytearray()
        self._pieces: dict[str, tuple[int, int]] = {"": _NOTHING}
        self._filters: dict[Filters, int] = {}
        self._sessions: dict[tuple[Persistence, str], int] = {}

    def piece(self, text: str) -> tuple[int, int]:
        found = self._pieces.get(text)
        if found is None:
            encoded = text.encode("utf-8", "surrogateescape")
            found = self._pieces[text] = (len(self.text), len(encoded))
            self.text += encoded
        return found

    def filters_of(self, filters: Filters) -> int:
        """Their number."""
        number = self._filters.get(filters)
        if number is None:
            number = self._filters[filters] = len(self._filters)
            self.filters += self._packed(filters)
        return number

    def session_of(self, session: Persistence, path: str) -> int:
        """Its number, from 1 on. path: of its cookie."""
        number = self._sessions.get((session, path))
        if number is None:
            number = self._sessions[session, path] = len(self._sessions) + 1
            self.sessions += layout.SESSION.pack(
                session.header,
                session.permanent,
                *self.piece(session.name),
                *self.piece(path),
                seconds(session.absolute_s),
                seconds(session.idle_s),
            )
        return number

    def _packed(self, filters: Filters) -> bytes:
        rewrite, redirect = filters.rewrite, filters.redirect
        return layout.FILTERS.pack(
            *self._edits(filters.request),
            *self._edits(filters.response),
            *self._mirrors(filters.mirrors),
            bool(filters.unobeyed),
            -1 if filters.cors is None else self._cors(filters.cors),
            *(self._change(rewrite.hostname, rewrite.path) if rewrite else self._change(None, None)),
            *(self._change(redirect.hostname, redirect.path) if redirect else self._change(None, None)),
            redirect.status if redirect else 0,
            (redirect.port or 0) if redirect else 0,
            *self.piece((redirect.scheme or "") if redirect else ""),
        )

    def _edits(self, edits: HeaderEdits) -> tuple[int, int]:
        """A name that is set is not removed as well, and of two settings the last one counts, in the first's place."""
        first = len(self.edits) // layout.EDIT.size
        new = {name.lower(): (name, value) for name, value in edits.set}
        packed = [layout.EDIT.pack(layout.SET, *self.piece(name), *self.piece(value)) for name, value in new.values()]
        packed += [layout.EDIT.pack(layout.ADD, *self.piece(name), *self.piece(value)) for name, value in edits.add]
        packed += [
            layout.EDIT.pack(layout.REMOVE, *self.piece(name), *_NOTHING)
            for name in edits.remove
            if name.lower() not in new
        ]
        self.edits += b"".join(packed)
        return first, len(packed)

    def _mirrors(self, mirrors: tuple[Mirror, ...]) -> tuple[int, int]:
        first = len(self.mirrors) // layout.MIRROR.size
        packed = [
            layout.MIRROR.pack(self.number_of(one.cluster), one.numerator, one.denominator)
            for one in mirrors
            if one.cluster is not None
        ]
        self.mirrors += b"".join(packed)
        return first, len(packed)

    def _change(self, hostname: str | None, path: PathEdit | None) -> tuple[int, ...]:
        bits = layout.NEW_HOST if hostname is not None else 0
        if path is not None:
            bits |= layout.NEW_PATH if path.whole else layout.NEW_PREFIX
        return bits, *self.piece(hostname or ""), *self.piece(sendable(path.value) if path is not None else "")

    def _cors(self, cors: Cors) -> int:
        first = len(self.pieces) // layout.PIECE.size
        self.pieces += b"".join([layout.PIECE.pack(*self.piece(origin)) for origin in cors.allow_origins])
        lists = (cors.allow_methods, cors.allow_headers, cors.expose_headers)
        number = len(self.cors) // layout.CORS.size
        self.cors += layout.CORS.pack(
            first,
            len(cors.allow_origins),
            *(word for values in lists for word in self.piece(", ".join(values))),
            *self.piece(str(cors.max_age_s)),
            cors.allow_credentials,
        )
        return number
