/* The engine's whole interface. The part between the two cdef marks is also the text that cffi parses
 * (cext/engine/build.py): declarations only, and no preprocessor but #define of integers.
 *
 * Conventions: a function that can fail returns 0 (or a count) and -errno on failure. Descriptors are consumed on
 * success only. All functions may be called from any thread, except that tg_engine_free must be the last call. Nothing
 * calls back but through one door (route/spec.h, tg_engine_set_decider): what happened is read with
 * tg_engine_completions when the completion descriptor is readable. */
#ifndef TG_ENGINE_H
#define TG_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* cdef:begin */
#define TG_MAX_WORKERS 64
#define TG_MAX_CAPACITY 16777216
#define TG_MAX_HOPS 3
#define TG_MAX_TEXT 4096

enum tg_reason {
    TG_FINISHED = 0,         /* both sides closed cleanly and everything was delivered; see tg_engine_settle, too */
    TG_DOWNSTREAM_RESET = 1, /* the client side failed; `error` says how */
    TG_UPSTREAM_RESET = 2,   /* the server side failed */
    TG_IDLE_TIMEOUT = 3,     /* no byte delivered either way for idle_timeout_ms */
    TG_LIFETIME = 4,         /* lifetime_ms are over */
    TG_ABORTED = 5,          /* tg_engine_abort, or the engine was stopped */
    TG_INTERNAL_ERROR = 6,   /* the kernel refused something that the relay needs; `error` says what */
    /* Of accepted connections only; downstream is reset: */
    TG_CONNECT_FAILED = 7,  /* no endpoint accepts; `error` is the last one's */
    TG_CONNECT_TIMEOUT = 8, /* the last endpoint tried didn't answer in time */
    TG_REFUSED = 9,         /* the verdict says so */
    TG_LIMITED = 10,        /* the verdict's max_connections are reached */
    TG_NO_DESTINATION = 11, /* the original destination can't be recovered */
    TG_DIRECT_DIAL = 12,    /* dialled straight to the listener */
    TG_LOOP = 13            /* one of our own upstream connections came back to us, more than TG_MAX_HOPS in a row */
};

typedef struct tg_engine tg_engine;

typedef struct {
    int downstream_fd;
    int upstream_fd;
    const void *early_downstream; /* bytes already read from downstream, owed to upstream; copied */
    size_t early_downstream_len;
    const void *early_upstream; /* bytes already read from upstream, owed to downstream; copied */
    size_t early_upstream_len;
    uint64_t idle_timeout_ms; /* 0: none */
    uint64_t lifetime_ms;     /* 0: none */
    uint32_t keepalive_s;     /* 0: leave the sockets' own keepalive settings alone */
    int32_t punted;           /* not 0: takes over the place that a punted connection holds; see tg_engine_punts */
} tg_relay_request;

typedef struct {
    uint64_t id;
    uint64_t bytes_sent;     /* delivered to upstream's socket */
    uint64_t bytes_received; /* delivered to downstream's socket */
    int64_t duration_us;
    int32_t reason; /* enum tg_reason */
    int32_t error;  /* errno, or 0 */
} tg_completion;

typedef struct {
    uint64_t id;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    int64_t age_ms;
    int64_t idle_ms;
} tg_live;

typedef struct {
    uint64_t bytes_sent; /* since the engine started, live relays included */
    uint64_t bytes_received;
    uint64_t active;
    uint64_t completed;
    uint64_t spliced_bytes; /* the part of both that went through a pipe and never through user space */
    uint64_t outstanding; /* what counts against `capacity`: live, waiting to be collected, punted and not forgotten */
    uint64_t accept_pauses; /* times that a worker stopped accepting for lack of descriptors or memory */
    uint64_t limit_pauses;  /* ... because `capacity` was reached */
    uint64_t mirrors_answered, mirrors_failed, mirrors_dropped; /* copies of requests: mirror/copy.h */
} tg_totals;

/* Starts `threads` workers. -EINVAL out of range, -ENOMEM, -EMFILE, -EAGAIN when a thread can't be had. */
int tg_engine_new(unsigned threads, size_t capacity, tg_engine **engine);

/* An eventfd, owned by the engine: readable while completions wait. Watch it, never read or close it. */
int tg_engine_completion_fd(const tg_engine *engine);

/* The same for records, which are in no hurry: who collects them some milliseconds later, many at a time, is woken
 * less. */
int tg_engine_record_fd(const tg_engine *engine);

/* Takes both sockets over (on success only) and relays until both directions have ended. `id` is the caller's and comes
 * back in the completion; `handle` names the relay in tg_engine_abort. -ENOBUFS: `capacity` relays are live or wait to
 * be collected. -EBADF, -EINVAL (both the same descriptor), -ENOMEM, -ESHUTDOWN (stopped). On failure O_NONBLOCK may
 * already be set on the sockets, and a punted connection still holds its place. */
int tg_engine_relay(tg_engine *engine, uint64_t id, const tg_relay_request *request, uint64_t *handle);

/* Resets both sides of a relay, soon. -ENOENT: it is over already. */
int tg_engine_abort(tg_engine *engine, uint64_t handle);

/* The program behind `side` (0: downstream, 1: upstream) has ended. The relay ends as finished as soon as the other
 * side has acknowledged everything up to the FIN that was passed on to it, without waiting long for its own FIN; one
 * that is still connecting begins to settle when it is connected. -ENOENT: it is over already. -EINVAL: no such side.
 */
int tg_engine_settle(tg_engine *engine, uint64_t handle, int side);

/* Moves up to `max` completions into `out` and returns how many; in the order in which the relays of one worker ended.
 */
int tg_engine_completions(tg_engine *engine, tg_completion *out, int max);

/* A walk over live relays: begin with *cursor = 0, call until it returns 0. Relays that begin or end during the walk
 * may or may not be seen. */
int tg_engine_live(tg_engine *engine, uint64_t *cursor, tg_live *out, int max);

void tg_engine_totals(tg_engine *engine, tg_totals *out);

/* Resets what is left, joins the threads, closes every descriptor; idempotent. Completions can still be collected, in
 * the order and with the limits as before, only without a descriptor to watch. */
void tg_engine_stop(tg_engine *engine);

/* Stops, and frees everything, uncollected completions included. */
void tg_engine_free(tg_engine *engine);
/* --- The splice lane: accepting, deciding by table and connecting without the caller --- */

/* Port and zone in host order; IPv4 (also v4-mapped) in ip[0..3]. Bytes that are not used are 0. */
typedef struct {
    uint8_t ip[16];
    uint32_t zone;
    uint16_t port;
    uint16_t family; /* 4 or 6; 0: none */
} tg_address;

enum tg_original {
    TG_ORIGINAL_AUTO = 0,    /* SOCKOPT, else SOCKNAME when the local port is not the listener's own */
    TG_ORIGINAL_SOCKOPT = 1, /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST: REDIRECT, or answered by eBPF */
    TG_ORIGINAL_SOCKNAME = 2 /* the socket's own address: TPROXY, sk_lookup */
};

typedef struct {
    uint32_t scope;       /* which part of the verdict table holds here: outbound, inbound, ... */
    int32_t original;     /* enum tg_original */
    uint32_t mark;        /* SO_MARK of the upstream sockets; 0: none */
    uint32_t keepalive_s; /* of both sides; 0: none */
    int64_t hairpin_from; /* a scope whose upstream connections may arrive here as if they were a client's; -1: none */
    int32_t inbound;      /* for the log: not 0 where the workload is the server */
    int32_t is_explicit;  /* not 0: a plain HTTP proxy, to which clients say where each request goes */
    int32_t as_client; /* not 0: call the workload from its client's address where the accepted socket is transparent */
    tg_address sources[2]; /* what upstream sockets of IPv4 and of IPv6 are bound to; family 0: the kernel's choice */
} tg_listener;

enum tg_action {
    TG_RELAY = 0, /* to one of the endpoints */
    TG_PASS = 1,  /* to the original destination */
    TG_PUNT = 2,  /* to the caller */
    TG_REFUSE = 3 /* reset */
};

/* What is done about the protocol of a destination's connections. */
enum tg_speaks {
    TG_OPAQUE = 0, /* nothing: bytes are bytes */
    TG_DETECT = 1, /* both sides' first bytes are looked at: HTTP/1 is parsed, all else passes as bytes */
    TG_HTTP = 2    /* it is HTTP: what is none is refused, except for HTTP/2, which passes as bytes */
};

/* What a connection was found to speak. */
enum tg_spoken {
    TG_SPOKEN_UNKNOWN = 0, /* nobody looked, or neither side has said enough */
    TG_SPOKEN_HTTP1 = 1,
    TG_SPOKEN_HTTP2 = 2,  /* by its preface */
    TG_SPOKEN_TLS = 3,    /* by its ClientHello */
    TG_SPOKEN_SERVER = 4, /* the server spoke first */
    TG_SPOKEN_OTHER = 5   /* the client said something else */
};

enum tg_balance {
    TG_RANDOM = 0, /* all by weight */
    TG_ROUND_ROBIN = 1,
    TG_LEAST = 2,    /* the endpoint with the fewest open connections */
    TG_BY_SOURCE = 3 /* a hash of the client's IP address */
};

/* IPv4 in ip[0..3]; all bits beyond the prefix are 0. */
typedef struct {
    uint8_t ip[16];
    uint16_t family; /* 4 or 6 */
    uint16_t bits;   /* of the prefix */
} tg_network;

typedef struct {
    tg_address address;
    uint32_t weight;     /* 0: never chosen */
    uint64_t group;      /* whose counters a connection to it moves */
    uint64_t http_group; /* the same of connections that speak HTTP/1; 0: `group` */
} tg_endpoint;

/* Of TCP, of upstream sockets. wanted 0: as the listener says. Fields of 0: the kernel's own settings. */
typedef struct {
    int32_t wanted;
    uint32_t time_s;
    uint32_t interval_s;
    uint32_t probes;
} tg_keepalive;

typedef struct {
    uint64_t id; /* the caller's; comes back in records */
    int32_t action;
    int32_t balance;
    uint64_t group;      /* counts what is refused, connections under max_connections, and the traffic of TG_PASS */
    uint64_t http_group; /* the same of TG_PASS's connections that speak HTTP/1; 0: `group` */
    const tg_endpoint *endpoints;
    uint32_t endpoint_count;
    uint32_t max_attempts;       /* how many endpoints a connection may try; 0: each once */
    uint32_t max_connections;    /* of `group` at a time, those still connecting included; 0: no limit */
    uint64_t connect_timeout_ms; /* of each attempt; 0: the kernel's */
    uint64_t idle_timeout_ms;
    uint64_t lifetime_ms;
    tg_keepalive keepalive;
    uint64_t affinity;    /* what is remembered of clients is shared by verdicts and clusters with the same number */
    uint64_t affinity_ms; /* how long a client goes to the same endpoint; 0: no affinity */
    const tg_network *denied; /* connections from there are punted */
    uint32_t denied_count;
    uint64_t site;  /* whose rules its requests are for; 0: they go where the verdict says */
    int32_t speaks; /* enum tg_speaks; of TG_RELAY and TG_PASS only */
    const char
        *log_protocol;    /* the log's values, as they are to stand in a line, at most TG_MAX_TEXT bytes each; NULL: */
    const char *log_lane; /* empty */
    const char *log_reason;
    const char *service; /* whose requests they are, "namespace/name": what exchange_tell is told; NULL: empty */
} tg_verdict;

typedef struct {
    int fd; /* the receiver's from now on; non-blocking */
    uint32_t scope;
    uint32_t hops; /* as in tg_record */
    tg_address peer;
    tg_address original;
} tg_punt;

/* One accepted connection that was not punted. */
typedef struct {
    uint64_t id; /* bit 63 is set; no relay of the caller's has one like it */
    uint64_t verdict;
    uint64_t group;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    int64_t duration_us;
    int64_t connect_us; /* from accept to connected; -1: never was */
    tg_address peer;
    tg_address original;
    tg_address upstream; /* the last one tried */
    uint32_t scope;
    uint32_t attempts;
    int32_t reason;
    int32_t error;
    int64_t idle_ms;       /* live ones only */
    uint32_t hops;         /* how many connections of ours may lead to this one: see TG_MAX_HOPS */
    int32_t spoken;        /* enum tg_spoken */
    char server_name[256]; /* this and the next one: of a ClientHello; empty: none */
    char alpn[128];        /* its protocols, with commas between them; what does not fit is left out */
} tg_record;

typedef struct {
    uint64_t group;
    uint64_t opened; /* connected */
    uint64_t closed; /* of those, ended */
    uint64_t connect_failures;
    uint64_t ended[7]; /* those closed, by tg_reason up to TG_INTERNAL_ERROR */
    uint64_t retries;  /* attempts beyond the first of those opened */
    uint64_t refused;  /* by REFUSE and by max_connections */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t admitted; /* now held under max_connections */
} tg_counters;

/* Serves a listening socket from all workers; consumed on success. Returns its number, or -errno: -EINVAL, -ENOSPC (too
 * many), -EBADF... */
/* For a punted connection, what as_client is for others: binds the upstream socket, which is to be connected to `to`.
 * accepted, original: the connection's socket and destination. 1: done; 0: capture has changed its addresses, so
 * nothing was; else -errno. */
int tg_stand_in(int accepted, const tg_address *original, int upstream, const tg_address *client, const tg_address *to);

int tg_engine_listen(tg_engine *engine, int fd, const tg_listener *listener);

/* Connections from inbound listeners to that port of the workload begin with a header of the PROXY protocol, version 1
 * or 2; 0: with none. To be set before the first listener. -EINVAL, -ENOMEM. */
int tg_engine_announce(tg_engine *engine, uint16_t port, int version);

/* Closes the socket when its backlog is empty, and after drain_ms at the latest: what waits there then is reset.
 * Returns when no worker uses it any more. -ENOENT. */
int tg_engine_unlisten(tg_engine *engine, int number, unsigned drain_ms);

/* Closes our descriptor of a listening socket that another process serves: the socket and its backlog live on. Returns
 * when no worker uses it any more. -ENOENT. */
int tg_engine_leave(tg_engine *engine, int number);

/* While `parts`, an answer to a connection that stays open says that it closes, and then it does. Idle connections are
 * let be, so no client meets an end that it was not told of. */
void tg_engine_part(tg_engine *engine, int parts);

/* From now on connections that stay open between requests are closed when they are idle, and those that are busy after
 * their answer, which says so. */
void tg_engine_drain(tg_engine *engine);

/* Connections accepted by a listener so far. -ENOENT. */
int64_t tg_engine_accepted(tg_engine *engine, int number);

/* Puts a verdict in force for new connections of a scope to an address. Exact addresses win over the unspecified
 * address of the same family with the same port, that over family 0 (all others of the scope). Without any verdict a
 * connection is punted. Connections under way keep the verdict they began with. Copied. -EINVAL, -ENOMEM. */
int tg_engine_set_verdict(tg_engine *engine, uint32_t scope, const tg_address *address, const tg_verdict *verdict);

/* -ENOENT: there was none. */
int tg_engine_remove_verdict(tg_engine *engine, uint32_t scope, const tg_address *address);

/* Like tg_engine_completions; punts under the same descriptor, records under their own. A record that waits does not
 * count against `capacity`, but as many as that, and no more, may wait. A punted connection goes on to count against
 * `capacity`: it holds its place until a relay takes it over (tg_relay_request.punted) or tg_engine_forget, once for
 * each, gives it back. */
int tg_engine_punts(tg_engine *engine, tg_punt *out, int max);
void tg_engine_forget(tg_engine *engine);
int tg_engine_records(tg_engine *engine, tg_record *out, int max);

/* Like tg_engine_live, for accepted connections. Their `id` is what tg_engine_abort takes. */
int tg_engine_connections(tg_engine *engine, uint64_t *cursor, tg_record *out, int max);

/* What connections of the scope to that destination were last found to speak, by their first bytes (enum tg_spoken).
 * TG_SPOKEN_UNKNOWN: nothing is remembered, or the last one said too little. Any thread. */
int tg_engine_remembered(tg_engine *engine, uint32_t scope, const tg_address *destination);

/* Counters of all groups for which something was ever counted; walked like tg_engine_live. They never go back. */
int tg_engine_counters(tg_engine *engine, uint64_t *cursor, tg_counters *out, int max);

/* Those of one group. -ENOENT: no verdict ever named it. */
int tg_engine_group_counters(tg_engine *engine, uint64_t group, tg_counters *out);

/* --- The access log --- */

enum tg_log_format { TG_LOG_NONE = 0, TG_LOG_TEXT = 1, TG_LOG_JSON = 2 };

/* With a format other than TG_LOG_NONE, accepted connections that were connected, look like none of our own (hops of 0)
 * and end by a reason up to TG_ABORTED from now on are told by lines instead of records.
 * -EINVAL. */
int tg_engine_set_log(tg_engine *engine, int format);

/* Whole lines, as many as fit into `room`, which must hold one with its verdict's texts (16 KiB always do). Returns
 * their bytes; *lines is how many they are. Under the records' descriptor. */
int64_t tg_engine_lines(tg_engine *engine, char *out, size_t room, uint64_t *lines);
/* cdef:end */

#endif
