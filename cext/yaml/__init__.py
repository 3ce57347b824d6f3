"""libyaml, read a document at a time: the parser's events as flat columns, so that Python pays for no object an event.
Knows nothing of what the documents mean."""
