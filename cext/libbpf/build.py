"""Builds `cext.libbpf._libbpf`: run by setuptools through `setup.py`, or by hand to compile in place.

libbpf itself is the system's (1.0 or later); `shim.h` is the single source of declarations.
"""

from pathlib import Path

from cffi import FFI

ROOM = Path(__file__).resolve().parent
TOP = ROOM.parents[1]
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-fvisibility=hidden"]


def declarations() -> str:
    """The text between the header's cdef marks; a missing mark is an error, never an empty module."""
    text = (ROOM / "shim.h").read_text(encoding="ascii")
    _, begin, rest = text.partition("/* cdef:begin */")
    wanted, end, _ = rest.partition("/* cdef:end */")
    if not begin or not end:
        raise ValueError("cext/libbpf/shim.h: the cdef:begin and cdef:end marks are missing")
    return wanted


ffibuilder = FFI()
ffibuilder.cdef("struct bpf_object;" + declarations())
ffibuilder.set_source(
    "cext.libbpf._libbpf",
    '#include <bpf/libbpf.h>\n#include <stddef.h>\n#include <stdint.h>\n#include "shim.h"',
    sources=["cext/libbpf/shim.c"],
    depends=["cext/libbpf/shim.h"],
    include_dirs=["cext/libbpf"],
    libraries=["bpf"],
    extra_compile_args=FLAGS,
)


def compile_in_place() -> Path:
    """Build the extension beside its sources. It is moved there whole: other processes may have the old one mapped."""
    import tempfile

    # On the same file system, so that the move is a rename; cffi compiles relative to this folder.
    with tempfile.TemporaryDirectory(dir=TOP, prefix=".libbpf-build-") as folder:
        room = Path(folder) / "cext" / "libbpf"
        room.mkdir(parents=True)
        for source in ("shim.c", "shim.h"):
            (room / source).symlink_to(ROOM / source)
        built = Path(ffibuilder.compile(tmpdir=folder))
        return built.replace(ROOM / built.name)


if __name__ == "__main__":
    compile_in_place()
