"""docker-compose files: a proxy and an init service beside each service, in the service's own network namespace."""
