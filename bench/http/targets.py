"""What is promised of the parsed lane, beside HAProxy, Envoy and our own splice lane of the same round."""

from bench.targets import Target

PARSED = ("parsed-nftables", "parsed-ebpf")
TARGETS = (
    Target("requests32_proxy_us_per_request", PARSED, 0.9, False, "haproxy"),
    Target("requests32_proxy_us_per_request", PARSED, 0.3, False, "envoy"),
    Target("requests32_rps", PARSED, 0.95, True, "haproxy"),
    Target("requests256_rps", PARSED, 0.95, True, "haproxy"),
    Target("requests32_rps", PARSED, 2.5, True, "envoy"),
    Target("requests32_rps", PARSED, 0.85, True, "splice-nftables"),
    Target("requests32_rps", ("parsed-ebpf",), 1.15, True, "haproxy"),
    # As good as equal: figures of one contestant differ by as much between two rounds.
    Target("requests32_rps", ("parsed-many",), 0.95, True, "parsed-nftables"),
    Target("requests1_p50_us", PARSED, 1.0, False, "haproxy"),
    Target("requests1_p50_us", PARSED, 0.7, False, "envoy"),
    Target("bodies_rps", PARSED, 1.3, True, "haproxy"),
    Target("bodies_rps", PARSED, 1.8, True, "envoy"),
    Target("memory_idle_bytes", PARSED, 45e6, False),
    Target("memory_each_bytes", PARSED, 4096, False),
)
