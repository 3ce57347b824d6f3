/* Which bucket of a histogram a value belongs to: the first whose bound it does not exceed. */
#ifndef TG_BUCKETS_H
#define TG_BUCKETS_H

#include <stdint.h>

int bucket_of_time(uint64_t us);       /* of TG_BUCKETS, by Istio's bounds in milliseconds */
int bucket_of_size(uint64_t bytes);    /* of TG_BUCKETS, by the same numbers in bytes */
int bucket_of_proxy_time(uint64_t us); /* of TG_PROXY_BUCKETS */

#endif
