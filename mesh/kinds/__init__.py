"""The kinds of documents that are read, as msgspec structs under their published field names. Of published kinds only
the fields that matter here are described, and the rest is ignored; our own are described whole."""
