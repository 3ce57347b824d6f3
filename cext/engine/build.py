"""Builds `cext.engine._engine`: run by setuptools through `setup.py`, or by hand to compile in place.

The C headers are the single source of declarations: the part between their two cdef marks is what cffi reads.
"""

from pathlib import Path

from cffi import FFI

ROOM = Path(__file__).resolve().parent
TOP = ROOM.parents[1]
# Relative on purpose: setuptools refuses absolute source paths.
SOURCES = sorted(
    str(path.relative_to(TOP))
    for path in ROOM.rglob("*.c")
    if not path.name.startswith("_") and "llhttp" not in path.relative_to(ROOM).parts
)
HEADERS = sorted(str(path.relative_to(TOP)) for path in ROOM.rglob("*.h"))
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-fvisibility=hidden", "-pthread"]


INTERFACE = ("engine.h", "requests.h", "route/spec.h", "balance/spec.h", "explicit/spec.h", "database/spec.h")
"""The headers that callers see, each behind those that it needs."""


def declarations() -> str:
    """The text between the headers' cdef marks; a missing mark is an error, never an empty module."""
    return "\n".join(map(declared, INTERFACE))


def declared(name: str) -> str:
    _, begin, rest = (ROOM / name).read_text(encoding="ascii").partition("/* cdef:begin */")
    wanted, end, _ = rest.partition("/* cdef:end */")
    if not begin or not end:
        raise ValueError(f"cext/engine/{name}: the cdef:begin and cdef:end marks are missing")
    return wanted


DOORS = 'extern "Python" void tg_decide(void *, const tg_question *, tg_reply *);'
"""Python functions that C calls: cext/engine/door.py."""


ffibuilder = FFI()
ffibuilder.cdef(declarations() + DOORS)
ffibuilder.set_source(
    "cext.engine._engine",
    "\n".join(f'#include "{name}"' for name in INTERFACE),
    sources=SOURCES,
    depends=HEADERS,
    include_dirs=["cext/engine"],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread", "-lm"],
)


def compile_in_place() -> Path:
    """Build the extension beside its sources. It is moved there whole: other processes may have the old one mapped."""
    import tempfile

    # On the same file system, so that the move is a rename; cffi compiles relative to this folder.
    with tempfile.TemporaryDirectory(dir=TOP, prefix=".engine-build-") as folder:
        for source in SOURCES + HEADERS:
            link = Path(folder) / source
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(TOP / source)
        built = Path(ffibuilder.compile(tmpdir=folder))
        # setuptools' name for it; under any other one, the older of the two builds might be the one that is imported.
        return built.replace(ROOM / "_engine.abi3.so")


if __name__ == "__main__":
    compile_in_place()
