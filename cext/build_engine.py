"""Builds `cext._engine`: run by setuptools through `setup.py`, or by hand to compile in place.

The C header is the single source of declarations: the part between its two cdef marks is what cffi reads.
"""

from pathlib import Path

from cffi import FFI

ROOM = Path(__file__).resolve().parent
# Relative on purpose: setuptools refuses absolute source paths.
SOURCES = sorted(f"cext/{path.name}" for path in ROOM.glob("*.c") if not path.name.startswith(("_", "libbpf")))
HEADERS = sorted(f"cext/{path.name}" for path in ROOM.glob("*.h") if not path.name.startswith("libbpf"))
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-fvisibility=hidden", "-pthread"]


def declarations() -> str:
    """The text between the header's cdef marks; a missing mark is an error, never an empty module."""
    text = (ROOM / "engine.h").read_text(encoding="ascii")
    _, begin, rest = text.partition("/* cdef:begin */")
    wanted, end, _ = rest.partition("/* cdef:end */")
    if not begin or not end:
        raise ValueError("cext/engine.h: the cdef:begin and cdef:end marks are missing")
    return wanted


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "cext._engine",
    '#include "engine.h"',
    sources=SOURCES,
    depends=HEADERS,
    include_dirs=["cext"],
    extra_compile_args=FLAGS,
    extra_link_args=["-pthread"],
)


def compile_in_place() -> Path:
    """Build the extension beside its sources. It is moved there whole: other processes may have the old one mapped."""
    import tempfile

    # On the same file system, so that the move is a rename; cffi compiles relative to this folder.
    with tempfile.TemporaryDirectory(dir=ROOM.parent, prefix=".engine-build-") as folder:
        (Path(folder) / "cext").mkdir()
        for source in SOURCES + HEADERS:
            (Path(folder) / source).symlink_to(ROOM.parent / source)
        built = Path(ffibuilder.compile(tmpdir=folder))
        # setuptools' name for it; under any other one, the older of the two builds might be the one that is imported.
        return built.replace(ROOM / "_engine.abi3.so")


if __name__ == "__main__":
    compile_in_place()
