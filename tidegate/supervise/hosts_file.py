"""The hosts file of this host, as names of addresses."""


def read_hosts() -> dict[str, str]:
    from intercept.discover import names

    return {str(address): name for address, name in names.of_hosts(names.read_hosts()) if not address.is_loopback}
