"""A file for each family of documents: msgspec structs under their published field names. Of published kinds only the
fields that matter here are described, and others are passed over; our own kinds are described whole."""
