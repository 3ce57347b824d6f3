"""Configuration: files -> documents -> validated objects -> one immutable `proxy.core.policy.policy.Policy`.

Each step is a module that only knows the one before it: `files` reads bytes, `yaml_nodes` makes trees that remember
their lines, `shapes` turns a tree into a typed object, `documents` gathers the objects of a run, `compiling` makes the
policy. Nothing here is imported unless configuration is given: PyYAML and msgspec cost tens of milliseconds.
"""
