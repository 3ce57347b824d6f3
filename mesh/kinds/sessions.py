"""Session persistence of routes, in both forms that Gateway API has published: `sessionName` with `cookieConfig`, and
`cookie` or `header` with a name of its own."""

from collections.abc import Iterator
from typing import Literal

from mesh.yaml.names import CookieName, CookiePath, HeaderName, SessionName
from mesh.yaml.shapes import Shape
from mesh.yaml.texts import GatewayDuration, gateway_seconds


class CookieConfig(Shape, frozen=True, kw_only=True):
    name: CookieName | None = None
    path: CookiePath | None = None
    lifetime_type: Literal["Permanent", "Session"] = "Session"


class HeaderConfig(Shape, frozen=True, kw_only=True):
    name: HeaderName


class SessionPersistence(Shape, frozen=True, kw_only=True):
    session_name: SessionName | None = None
    absolute_timeout: GatewayDuration | None = None
    idle_timeout: GatewayDuration | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None
    cookie: CookieConfig | None = None
    header: HeaderConfig | None = None

    @property
    def cookies(self) -> CookieConfig:
        return self.cookie or self.cookie_config or CookieConfig()

    def mistakes(self) -> Iterator[tuple[int, str]]:
        if self.type == "Header" and (self.cookie or self.cookie_config):
            yield self.line, f"{'cookie' if self.cookie else 'cookieConfig'}: is not allowed with type Header"
        if self.type == "Cookie" and self.header:
            yield self.line, "header: is not allowed with type Cookie"
        if self.cookies.lifetime_type == "Permanent" and not gateway_seconds(self.absolute_timeout or "0s"):
            yield self.line, "absoluteTimeout: is missing: a cookie of lifetimeType Permanent needs one"
