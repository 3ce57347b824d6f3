#include "tell/buckets.h"

#include "requests.h"

/* Doubled, so that Istio's first bound of 0.5 is a whole number. */
static const uint64_t doubled[TG_BUCKETS - 1] = {
    1, 2, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 60000, 120000, 600000, 1200000, 3600000, 7200000,
};
static const uint64_t proxy[TG_PROXY_BUCKETS - 1] = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000};

static int bucket(const uint64_t *bounds, int count, uint64_t value)
{
    int at = 0;
    while (at < count && value > bounds[at])
        at++;
    return at;
}

int bucket_of_time(uint64_t us)
{
    /* In halves of a millisecond, rounded up: a value is above a bound as soon as it is by a microsecond. */
    return bucket(doubled, TG_BUCKETS - 1, us / 500 + (us % 500 != 0));
}

int bucket_of_size(uint64_t bytes)
{
    return bucket(doubled, TG_BUCKETS - 1, bytes > UINT64_MAX / 2 ? UINT64_MAX : 2 * bytes);
}

int bucket_of_proxy_time(uint64_t us)
{
    return bucket(proxy, TG_PROXY_BUCKETS - 1, us);
}
