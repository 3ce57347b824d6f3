"""How an endpoint is chosen, a file a method.

For requests: `pick` puts together drawing by weight (`excluded`), the choice between two (`of_two`) by peak EWMA
(`ewma`) or by `least_request`, and consistent hashes (`key` says of what, `hashed` looks up, `ring` and `maglev` make
the tables). `locality` says what each endpoint's weight is. The engine does the same (cext/engine/balance) and is held
to it.

For connections: `choose` picks; `weights` says each endpoint's part for the lanes that pick by themselves. What has to
be remembered from one decision to the next is kept apart by what it is: `loads`, `turns`, `affinity`, `rate_limit`;
`ledger` holds the four. Times and random numbers are arguments."""
