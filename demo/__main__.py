"""`make demo`: legacy programs run unchanged through tidegate, beside the same programs without it."""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from demo import servers
from demo.network import PEER4, Network, inside

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
PIPELINE = 100_000

# The "legacy service": it knows addresses, not tidegate.
LEGACY = f"""
echo "curl:      $(curl -s http://{PEER4}/hello)"
echo "curl:      $(curl -s http://{PEER4}/big | sha256sum | cut -c1-16) sha256 of 64 MiB"
echo "redis-cli: $(redis-cli -h {PEER4} --pipe < "$1" | tail -n 1)"
echo "redis-cli: $(redis-cli -h {PEER4} dbsize) keys"
echo "mariadb:   $(mariadb -h {PEER4} -ulegacy -plegacy shop -N -e 'SELECT GROUP_CONCAT(name) FROM item')"
"""  # noqa: S608  # a constant


def main() -> int:
    if os.geteuid() != 0:
        print("demo: needs root: it makes network namespaces and starts servers in them", file=sys.stderr)
        return 4
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        started = time.monotonic()
        print("starting nginx, redis-server and MariaDB in a network namespace of their own …", flush=True)
        stack.enter_context(servers.nginx(network.peer, {"hello": b"hello from nginx", "big": os.urandom(1 << 26)}))
        stack.enter_context(servers.redis(network.peer))
        stack.enter_context(servers.mariadb(network.peer))
        print(f"… up after {time.monotonic() - started:.1f} s\n")
        commands = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".redis"))
        commands.writelines(f"SET key:{n} {n}\n" for n in range(PIPELINE))
        commands.flush()
        program = ["sh", "-c", LEGACY, "legacy", commands.name]
        print("$ legacy-service                       # as it always ran")
        plain = show(inside(network.app, *program))
        print("\n$ tidegate run -- legacy-service       # nothing changed in it")
        captured = show([TIDEGATE, "run", "--netns", network.app, "--", *program])
        same = plain == captured
        print(f"\nits output {'is the same, byte for byte' if same else 'DIFFERS'}")
        return 0 if same and captured else 1


def show(argv: list[str]) -> bytes:
    """Run it, let the person see what it prints as it comes, and return its standard output."""
    output = b""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            output += line
            sys.stdout.write(line.decode())
            sys.stdout.flush()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)
    return output


if __name__ == "__main__":
    sys.exit(main())
