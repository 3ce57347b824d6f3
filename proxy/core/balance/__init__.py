"""How an endpoint is chosen, a file a method: by weight, in turn, by load, by affinity; and the rate limit before it.

`choose` picks; `weights` says each endpoint's part for the lanes that pick by themselves. What has to be remembered
from one decision to the next is kept apart by what it is: `loads`, `turns`, `affinity`, `rate_limit`; `ledger` holds
the four. Times and random numbers are arguments."""
