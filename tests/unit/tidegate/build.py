"""Values that the tests of the front door share."""

from hypothesis import strategies as st

LONGEST = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:65535"

records = st.lists(
    st.fixed_dictionaries(
        {
            "event": st.just("connection"),
            "direction": st.sampled_from(["outbound", "inbound"]),
            "original_destination": st.sampled_from(["10.0.0.1:80", LONGEST, "10.0.0.9:6379"]),
            "upstream": st.just("10.0.0.1:80"),
            "protocol": st.sampled_from(["tcp", "http"]),
            "lane": st.sampled_from(["splice", "parsed"]),
            "bytes_sent": st.integers(0, 2**50),
            "bytes_received": st.integers(0, 2**50),
            "duration_ms": st.floats(0, 1e9),
            "close_reason": st.sampled_from(["finished", "upstream-reset"]),
            "state": st.just("closed"),
            "age_ms": st.just(1),
            "lane_reason": st.just("no policy"),
        }
    ),
    max_size=30,
)
