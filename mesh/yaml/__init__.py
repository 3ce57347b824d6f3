"""From bytes to typed values that know their file and line. `files` reads; `trees` makes nodes of YAML; `shapes`, with
`scalars` and `texts`, turns nodes into the structs of `mesh.kinds`; `problems` collects what is wrong on the way."""
