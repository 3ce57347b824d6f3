"""A model of exchanges: scripts of what clients ask and what their server does, played, and held against what came."""
