"""Real servers on the loopback of a namespace: nginx, apache2, gunicorn, uvicorn, Node, Jetty."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.lab.namespaces import Namespace
from tests.netns.proxy.proxy_rig import until

PROGRAMS = Path(__file__).with_name("programs")
PORTS = {"nginx": 8201, "apache": 8202, "gunicorn": 8203, "uvicorn": 8204, "node": 8205, "jetty": 8206}
JARS = ":".join(
    f"/usr/share/java/{name}.jar"
    for name in ("jetty9-server", "jetty9-http", "jetty9-io", "jetty9-util", "servlet-api-4.0", "servlet-api")
)
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain; client_max_body_size 8m; gzip on; gzip_min_length 100;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/pages;
    location /empty {{ return 204; }}
    location /echo {{ add_header X-Empty ""; return 200 "$request_method $http_x_odd\\n"; }}
  }}
}}
"""
APACHE = """
ServerName peers
ServerRoot {folder}
PidFile {folder}/apache.pid
Listen 127.0.0.1:{port}
ErrorLog {folder}/error.log
User www-data
DocumentRoot {folder}/pages
StartServers 1
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
Redirect 302 /moved http://elsewhere.example/
<Location /chunked>
SetOutputFilter DEFLATE
</Location>
"""


def compiled(folder: Path, name: str) -> Path:
    """A Java program's class, made by the compiler that is a part of the run-time's modules."""
    argv = ["java", "-m", "jdk.compiler/com.sun.tools.javac.Main", "-d", str(folder), "-cp", JARS]
    subprocess.run([*argv, str(PROGRAMS / f"{name}.java")], check=True, capture_output=True, timeout=60)
    return folder


def _pages(folder: Path) -> None:
    pages = folder / "pages"
    pages.mkdir()
    (pages / "small").write_text("hello\n")
    (pages / "big").write_bytes(b"b" * (1 << 20))
    (pages / "chunked").write_text("".join(f"data: {number}\n\n" for number in range(2000)))
    (pages / "events").write_text("data: 1\n\n" * 20)
    for one in (folder, pages, *pages.iterdir()):
        one.chmod(0o755)
    for one in pages.iterdir():
        os.utime(one, (1_000_000_000, 1_000_000_000))  # what has just been written gets a weak ETag for a moment


def _nginx(folder: Path, port: int) -> list[str]:
    _pages(folder)
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port))
    return ["nginx", "-c", str(folder / "conf")]


def _apache(folder: Path, port: int) -> list[str]:
    _pages(folder)
    (folder / "conf").write_text(APACHE.format(folder=folder, port=port))
    return ["apache2", "-X", "-f", str(folder / "conf")]


def _gunicorn(folder: Path, port: int) -> list[str]:
    python = [sys.executable, "-P", "-m", "gunicorn", "--chdir", str(PROGRAMS), "--worker-class", "gthread"]
    return [
        *python,
        "--threads",
        "4",
        "--keep-alive",
        "30",
        "--no-control-socket",
        "-b",
        f"127.0.0.1:{port}",
        "app_wsgi:app",
    ]


def _uvicorn(folder: Path, port: int) -> list[str]:
    python = [sys.executable, "-P", "-m", "uvicorn", "--app-dir", str(PROGRAMS), "--timeout-keep-alive", "30"]
    return [*python, "--log-level", "warning", "--port", str(port), "app_asgi:app"]


def _node(folder: Path, port: int) -> list[str]:
    return ["node", str(PROGRAMS / "server.js"), str(port)]


def _jetty(folder: Path, port: int) -> list[str]:
    compiled(folder, "Serve")
    return ["java", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", f"{folder}:{JARS}", "Serve", str(port)]


_COMMANDS: dict[str, Callable[[Path, int], list[str]]] = {
    "nginx": _nginx,
    "apache": _apache,
    "gunicorn": _gunicorn,
    "uvicorn": _uvicorn,
    "node": _node,
    "jetty": _jetty,
}


@contextlib.contextmanager
def server(namespace: Namespace, name: str, folder: Path) -> Iterator[int]:
    """Yields the port. What it says is in `folder`/log."""
    port = PORTS[name]
    argv = _COMMANDS[name](folder, port)
    with (folder / "log").open("wb") as log:
        process = namespace.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: _listens(namespace, port) or process.poll() is not None, f"{name} to listen", 30)
        assert process.poll() is None, (folder / "log").read_text()
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(namespace: Namespace, port: int) -> bool:
    with namespace.entered():
        sock = socket.socket()
    with sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
