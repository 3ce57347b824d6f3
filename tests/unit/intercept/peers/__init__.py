"""Istio's, Linkerd's, Kuma's and Consul's settings, as their users write them."""
