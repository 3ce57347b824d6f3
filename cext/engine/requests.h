/* The engine's interface, about requests: what the parsed lane tells of each exchange. As engine.h, with its
 * conventions.
 */
#ifndef TG_REQUESTS_H
#define TG_REQUESTS_H

#include "engine.h"

/* cdef:begin */
/* Envoy's response flags, as a set; bits in the order in which Envoy writes them (values.py has their letters). */
enum tg_exchange_flag {
    TG_FLAG_UH = 1,          /* no endpoint is ready */
    TG_FLAG_UT = 2,          /* the upstream request timed out */
    TG_FLAG_LR = 4,          /* we reset */
    TG_FLAG_UR = 8,          /* upstream reset */
    TG_FLAG_UF = 0x10,       /* no connection to upstream could be made */
    TG_FLAG_UC = 0x20,       /* upstream ended the connection before the answer */
    TG_FLAG_UO = 0x40,       /* a limit towards upstream is reached */
    TG_FLAG_NR = 0x80,       /* no route matches */
    TG_FLAG_DI = 0x100,      /* a delay was injected */
    TG_FLAG_FI = 0x200,      /* the answer was injected */
    TG_FLAG_RL = 0x400,      /* a rate limit */
    TG_FLAG_UAEX = 0x800,    /* not authorised */
    TG_FLAG_DC = 0x1000,     /* downstream ended the connection before the answer's end */
    TG_FLAG_URX = 0x2000,    /* all attempts are used up */
    TG_FLAG_SI = 0x4000,     /* idle for too long */
    TG_FLAG_IH = 0x8000,     /* a header's value is refused */
    TG_FLAG_DPE = 0x10000,   /* downstream broke the protocol */
    TG_FLAG_UMSDR = 0x20000, /* the request's longest duration is over */
    TG_FLAG_DT = 0x40000,    /* the deadline that downstream gave, or a connection's longest duration, is over */
    TG_FLAG_UPE = 0x80000,   /* upstream broke the protocol */
    TG_FLAG_NC = 0x100000,   /* the route's backend does not exist */
    TG_FLAG_OM = 0x200000,   /* shed for want of memory */
    TG_FLAG_DO = 0x400000,   /* shed by policy */
    TG_FLAGS = 23            /* how many there are */
};

/* Longer texts are cut, and end in "..." then. */
#define TG_MAX_METHOD 32
#define TG_MAX_AUTHORITY 255
#define TG_MAX_TARGET 2048
#define TG_MAX_NAME 512

/* One exchange that has ended. In a batch, `size` bytes each: this, then the texts in the order of their lengths, then
 * padding. */
typedef struct {
    uint32_t size; /* of the whole record, a multiple of 8 */
    uint32_t scope;
    uint64_t id;         /* 0 when told: gets the next free one */
    uint64_t connection; /* tg_record.id of the downstream connection */
    uint64_t verdict;
    uint64_t site;          /* 0: none */
    uint64_t group;         /* the endpoint's; without an endpoint the verdict's own */
    uint64_t started_us;    /* the request's first byte; told on the engine's clock, collected since the epoch */
    uint64_t duration_us;   /* from there to the answer's last byte */
    int64_t upstream_us;    /* the request's head sent, to the answer's first byte; -1: no answer came */
    uint64_t proxy_us;      /* the part of `duration_us` that neither side was waited for */
    uint64_t request_bytes; /* on the wire, heads included */
    uint64_t response_bytes;
    tg_address peer;
    tg_address original;
    tg_address upstream; /* family 0: none was chosen */
    uint32_t rule;
    uint32_t backend;
    uint32_t flags; /* enum tg_exchange_flag */
    uint32_t attempts;
    uint16_t status; /* 0: no answer was begun */
    uint8_t major;   /* HTTP/major.minor */
    uint8_t minor;
    uint8_t inbound; /* not 0 where the workload is the server */
    int8_t grpc;     /* grpc-status; -1: no gRPC, or it never came */
    uint8_t traced;  /* enum tg_traced */
    uint8_t unused;
    uint8_t trace_id[16]; /* zeros: none */
    uint8_t span_id[8];   /* this exchange's own; zeros: it is no span */
    uint8_t parent_id[8]; /* zeros: none */
    uint16_t method_length;
    uint16_t authority_length;
    uint16_t target_length;
    uint16_t service_length;
    uint16_t route_length;
    uint16_t unused_too[3];
} tg_exchange_record;

enum tg_traced { TG_NOT_TRACED = 0, TG_UNSAMPLED = 1, TG_SAMPLED = 2 };

/* What to fill, and afterwards how much of it is filled. A NULL is not filled. Rooms of 32 KiB and more. */
typedef struct {
    char *records;
    size_t records_room;
    char *text; /* lines of the access log */
    size_t text_room;
    char *json;
    size_t json_room;
    size_t records_size;
    size_t text_size;
    size_t json_size;
    uint64_t count;
    uint64_t dropped; /* since the engine started: nobody collected them in time */
} tg_exchange_batch;

/* Records of exchanges are kept (not 0) or only counted. -ENOMEM. */
int tg_engine_keep_exchanges(tg_engine *engine, int kept);

/* Collects records, as many as fit everywhere. Under the records' descriptor. */
void tg_engine_exchanges(tg_engine *engine, tg_exchange_batch *batch);

#define TG_BUCKETS 20
#define TG_PROXY_BUCKETS 12
#define TG_MAX_SERIES 16384
#define TG_MAX_VARIANTS 24

/* What is counted of all exchanges that are told about alike, by one worker. Never goes back. Buckets are not
 * cumulative; the last one has no upper bound. */
typedef struct {
    uint64_t number;     /* of the series, for as long as the engine lives */
    const char *service; /* as long as the engine lives, too */
    const char *route;
    uint64_t group;
    uint32_t scope;
    uint32_t flags;
    uint16_t status; /* below 100: the status's hundreds, of many that are no longer told apart */
    int16_t grpc;
    uint16_t major;
    uint16_t inbound;
    uint64_t requests;
    uint64_t answered; /* those with an upstream_us */
    uint64_t attempts;
    uint64_t duration_us;
    uint64_t upstream_us;
    uint64_t proxy_us;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t durations[20]; /* in milliseconds up to Istio's bounds: 0.5 1 5 10 25 50 100 250 500 1000 2500 5000 ... */
    uint64_t upstream_times[20]; /* the same */
    uint64_t request_sizes[20];  /* in bytes up to the same numbers */
    uint64_t response_sizes[20];
    uint64_t proxy_times[12]; /* in microseconds: 50 100 250 500 1000 2500 5000 10000 25000 50000 100000 */
} tg_exchange_counters;

/* Walked like tg_engine_counters. */
int tg_engine_exchange_counters(tg_engine *engine, uint64_t *cursor, tg_exchange_counters *out, int max);

/* From now on exchanges are spans, and so many of a million traces that begin here are sampled; negative (as at the
 * beginning): no span is made, and no byte of a request is changed for one. -EINVAL. */
int tg_engine_make_spans(tg_engine *engine, int64_t per_million);

/* Of the headers that are added to every request. */
enum tg_added {
    TG_FORWARDED_INBOUND = 1, /* X-Forwarded-For with the client's address, in requests to the workload */
    TG_FORWARDED_OUTBOUND = 2,
    TG_REQUEST_ID = 4, /* x-request-id, where none came */
};
/* From now on these; 0, as at the beginning: none. -EINVAL. */
int tg_engine_add_headers(tg_engine *engine, uint32_t which);

/* From now on bodies of requests that are larger, chunks not counted, are answered 413; 0, as at the beginning: none.
 */
void tg_engine_limit_bodies(tg_engine *engine, uint64_t bytes);

/* CPU time that the workers have used. */
uint64_t tg_engine_cpu_us(tg_engine *engine);
/* cdef:end */

#endif
