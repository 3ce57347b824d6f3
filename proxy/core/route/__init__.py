"""HTTPRoutes as decisions: which rule takes a request (`match`, `precedence`) and what it does to it (`filters`).

Everything is a function of values: a request's head and the rules of its destination. The same cases hold the engine's
table and this package to the same answers.
"""
