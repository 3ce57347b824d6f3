/* Clusters: which endpoint of a Service a request goes to. A part of the engine's interface, with the conventions of
 * engine.h. */
#ifndef TG_BALANCE_SPEC_H
#define TG_BALANCE_SPEC_H

#include "engine.h"

/* cdef:begin */
#define TG_FIRST_STATUS 400
#define TG_STATUSES 200
#define TG_MAX_CLUSTERS 1048576
#define TG_MAX_TABLE 8388608
#define TG_MAX_HASH_NAME 1024 /* bytes of what is hashed by name, and of the end of its cookie */

enum tg_choose { TG_CHOOSE_EWMA = 0, TG_CHOOSE_LEAST_REQUEST = 1, TG_CHOOSE_ROUND_ROBIN = 2, TG_CHOOSE_RANDOM = 3 };

/* Of a cluster, over all workers. */
enum tg_limit {
    TG_LIMIT_CONNECTIONS = 0,
    TG_LIMIT_PENDING = 1,
    TG_LIMIT_REQUESTS = 2,
    TG_LIMIT_RETRIES = 3, /* at one time */
    TG_LIMITS = 4
};

/* What of a request a consistent hash is made of. */
enum tg_hash_by {
    TG_HASH_NOTHING = 0, /* the first choice is a random one */
    TG_HASH_HEADER = 1,
    TG_HASH_COOKIE = 2,
    TG_HASH_PARAMETER = 3, /* of the query */
    TG_HASH_SOURCE = 4     /* the client's IP address */
};

enum tg_budget_kind { TG_BUDGET_RETRY = 0, TG_BUDGET_HEDGE = 1, TG_BUDGETS = 2 };

/* Failures of an endpoint that may come in a row. One without an answer is all three, unless split_local is set. */
enum tg_row { TG_ROW_5XX = 0, TG_ROW_GATEWAY = 1, TG_ROW_LOCAL = 2, TG_ROWS = 3 };

/* How a request to an endpoint ended. */
enum tg_request_end {
    TG_REQUEST_DONE = 0,          /* with its answer, whatever the status */
    TG_REQUEST_CANCELLED = 1,     /* by us or by the client: no fault of the endpoint's */
    TG_REQUEST_NOT_CONNECTED = 2, /* refused, unreachable or too slow to connect */
    TG_REQUEST_RESET = 3,         /* the connection ended before the answer did, or the answer was no HTTP */
    TG_REQUEST_TIMED_OUT = 4,
    TG_ENDINGS_OF_REQUESTS = 5
};

/* Bits: what is to be told about an endpoint. The first three are 1 << enum tg_row: as many came in a row as the
 * cluster says. */
enum tg_news {
    TG_NEWS_5XX = 1,
    TG_NEWS_GATEWAY = 2,
    TG_NEWS_LOCAL = 4,
    TG_TRIAL_PASSED = 8, /* of an endpoint on trial: a request has got an answer that is no 5xx */
    TG_TRIAL_FAILED = 16
};

typedef struct {
    tg_address address;
    uint64_t group;    /* whose state it has, and whose counters its connections move: the same group in
                        * another cluster is the same endpoint */
    uint64_t identity; /* by which sessions know it */
    uint32_t weight;   /* 0: never chosen */
    int32_t trial;     /* not 0: one request at a time, and it is preferred */
} tg_cluster_endpoint;

typedef struct {
    int32_t choose; /* enum tg_choose; where table_size is not 0, only for requests without anything to hash */
    uint32_t endpoint_count;
    const tg_cluster_endpoint *endpoints; /* their weights add up to at most UINT32_MAX */
    uint32_t table_size;                  /* of a consistent hash; 0: none */
    int32_t split_local;
    const uint32_t *places; /* [table_size] indices of endpoints */
    const uint64_t *points; /* [table_size] of a ring, ascending: where each place begins; NULL: by hash % table_size */
    int32_t hash_by;        /* enum tg_hash_by */
    uint32_t hash_name_length;
    const char *hash_name;  /* of the header (in lower case), the cookie, the parameter */
    const char *cookie_end; /* of TG_HASH_COOKIE: what stands behind name=value in the Set-Cookie for a client that came
                             * without it; NULL: such a client gets none */
    uint64_t affinity;      /* as in tg_verdict, of requests */
    uint64_t affinity_ms;
    uint32_t in_a_row[3];       /* by enum tg_row; 0: that is no news */
    uint32_t limits[4];         /* by enum tg_limit; 0: none */
    uint32_t endpoint_requests; /* of each endpoint at a time; 0: no limit */
    uint32_t endpoint_connections;
    uint32_t connection_requests; /* after so many a connection is closed; 0: no limit */
    double budget_percent[2];     /* by enum tg_budget_kind: of the requests of the last ten seconds */
    double budget_per_s[2];       /* and so many a second besides, saved up for ten seconds */
    uint64_t connect_timeout_ms;  /* 0: the kernel's */
    uint64_t idle_timeout_ms;     /* of a connection without a request; 0: none */
    uint64_t lifetime_ms;         /* of a connection; 0: none */
} tg_cluster_spec;

typedef struct {
    uint64_t group;
    uint32_t news; /* bits of enum tg_news */
    uint32_t unused;
} tg_endpoint_news;

typedef struct {
    uint64_t group;
    uint64_t answered;    /* heads of answers; they and the next two never go back while a cluster names the endpoint */
    uint64_t failures[5]; /* by enum tg_request_end */
    uint32_t statuses[200]; /* from 400 on */
    uint32_t outstanding;
    uint32_t connections;
    double cost_us; /* the slowest worker's estimate of the time to first byte; 0: none yet */
} tg_endpoint_counts;

/* Puts a cluster in force for new requests, in place of the one of that number. What is under way keeps the one it
 * began with; limits, budgets, and the state of endpoints that both name go on. Copied. -EINVAL, -ENOMEM. */
int tg_engine_set_cluster(tg_engine *engine, uint32_t number, const tg_cluster_spec *spec);

/* -ENOENT: there was none. */
int tg_engine_remove_cluster(tg_engine *engine, uint32_t number);

/* An eventfd, owned by the engine: readable while there is news of endpoints. Watch it, never read or close it. */
int tg_engine_news_fd(const tg_engine *engine);

/* Moves up to `max` pieces of news into `out` and returns how many; an endpoint comes once, with all its news. */
int tg_engine_news(tg_engine *engine, tg_endpoint_news *out, int max);

/* What an endpoint's state has counted. -ENOENT: no cluster has named the group. */
int tg_engine_endpoint_counts(tg_engine *engine, uint64_t group, tg_endpoint_counts *out);
/* cdef:end */

#endif
