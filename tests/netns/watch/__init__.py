"""Commands that look at running proxies, on real traffic."""
