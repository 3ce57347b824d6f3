"""Compiles the BPF programs and (by cffi's own setuptools integration) the C parts; the rest is in pyproject.toml."""

from runpy import run_path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SAY_WHAT_IS_MISSING = run_path("scripts/needs.py")["check"]
COMPILE_PROGRAMS = run_path("bpf/build.py")["build"]


def prepare():
    SAY_WHAT_IS_MISSING()
    COMPILE_PROGRAMS()


class Modules(build_py):
    """The compiled BPF programs are data of a package, so they come before its files are gathered."""

    def run(self):
        prepare()
        super().run()


class Extensions(build_ext):
    """An installation in place gathers no files, and compiles here."""

    def run(self):
        prepare()
        super().run()


setup(
    cmdclass={"build_py": Modules, "build_ext": Extensions},
    cffi_modules=[
        "cext/engine/build.py:ffibuilder",
        "cext/libbpf/build.py:ffibuilder",
        "cext/yaml/build.py:ffibuilder",
    ],
    # The extensions keep to Python's stable ABI: one wheel serves 3.11 and all that come after it.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
