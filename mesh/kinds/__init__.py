"""A file for each family of documents: msgspec structs under their published field names. Fields that matter to a
sidecar are described; published ones that do not are named, so that a misspelt field is told apart from both."""
