"""Builds `cext.yaml._yaml`: run by setuptools through `setup.py`, or by hand to compile in place.

libyaml itself is the system's; `tape.h` is the single source of declarations.
"""

from pathlib import Path

from cffi import FFI

ROOM = Path(__file__).resolve().parent
TOP = ROOM.parents[1]
FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-fvisibility=hidden"]


def declarations() -> str:
    """The text between the header's cdef marks; a missing mark is an error, never an empty module."""
    text = (ROOM / "tape.h").read_text(encoding="ascii")
    _, begin, rest = text.partition("/* cdef:begin */")
    wanted, end, _ = rest.partition("/* cdef:end */")
    if not begin or not end:
        raise ValueError("cext/yaml/tape.h: the cdef:begin and cdef:end marks are missing")
    return wanted


ffibuilder = FFI()
ffibuilder.cdef("struct tg_yaml;" + declarations())
ffibuilder.set_source(
    "cext.yaml._yaml",
    '#include <stddef.h>\n#include <stdint.h>\n#include "tape.h"',
    sources=["cext/yaml/tape.c"],
    depends=["cext/yaml/tape.h"],
    include_dirs=["cext/yaml"],
    libraries=["yaml"],
    extra_compile_args=FLAGS,
)


def compile_in_place() -> Path:
    """Build the extension beside its sources. It is moved there whole: other processes may have the old one mapped."""
    import tempfile

    # On the same file system, so that the move is a rename; cffi compiles relative to this folder.
    with tempfile.TemporaryDirectory(dir=TOP, prefix=".yaml-build-") as folder:
        room = Path(folder) / "cext" / "yaml"
        room.mkdir(parents=True)
        for source in ("tape.c", "tape.h"):
            (room / source).symlink_to(ROOM / source)
        built = Path(ffibuilder.compile(tmpdir=folder))
        return built.replace(ROOM / built.name)


if __name__ == "__main__":
    compile_in_place()
