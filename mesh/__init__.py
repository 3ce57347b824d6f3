"""What the mesh says: documents become validated objects, and those one immutable `proxy.core.policy.policy.Policy`.

`yaml` makes values of texts, `kinds` describes the documents, `documents` collects those of one reading, `compile`
makes the policy, `sources` watches where documents come from, `capture` makes flags of `init` of Capture documents.
Nothing here is imported unless configuration is given: msgspec and the kinds cost tens of milliseconds.
"""
