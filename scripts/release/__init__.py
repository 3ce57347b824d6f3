"""What is delivered: the wheel, the Debian packages, their man pages, completions and bill of materials.

`python -m scripts.release` builds; docs/releasing.md is the checklist. A build depends on the commit and on
`bundled.lock` only, so two builds give the same bytes.
"""
