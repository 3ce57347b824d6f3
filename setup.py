"""Builds the C engine through cffi's own setuptools integration; everything else stands in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["cext/build_engine.py:ffibuilder", "cext/build_libbpf.py:ffibuilder"])
