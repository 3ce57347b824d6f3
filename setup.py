"""Compiles the BPF programs and (by cffi's own setuptools integration) the C parts; the rest is in pyproject.toml."""

from runpy import run_path

from setuptools import setup

run_path("bpf/build.py")["build"]()

setup(
    cffi_modules=[
        "cext/engine/build.py:ffibuilder",
        "cext/libbpf/build.py:ffibuilder",
        "cext/yaml/build.py:ffibuilder",
    ]
)
