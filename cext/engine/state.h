/* The engine's whole state: what its workers and its callers share. */
#ifndef TG_STATE_H
#define TG_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance/clusters.h"
#include "base/epoch.h"
#include "base/list.h"
#include "base/put.h"
#include "database/waiting.h"
#include "decide/affinity.h"
#include "decide/groups.h"
#include "decide/own.h"
#include "decide/table.h"
#include "engine.h"
#include "explicit/lookups.h"
#include "route/ask.h"
#include "route/sites.h"
#include "worker.h"

#define TG_MAX_LISTENERS 64

/* A listening socket, in every worker's epoll. fd and options are fixed from the moment it is open until it is closed,
 * and it is closed only when no worker is in a turn that began before. */
struct tg_listening {
    int fd;
    _Atomic bool open;
    _Atomic uint64_t accepted;
    uint16_t port;
    tg_listener options;
};

/* Descriptors tell that something waits: one for what is urgent, one for records, one for questions about authorities.
 */
enum { TG_URGENT, TG_LEISURELY, TG_ASKED, TG_SIGNALS };
struct tg_signal {
    int fd;
    _Atomic bool raised; /* fd has been written since it was last read */
};

struct tg_queue {
    struct tg_mailbox mailbox;
    struct tg_node *collected; /* taken from the mailbox, not yet handed out; under `collecting` */
};

struct tg_log {
    _Atomic int format;    /* enum tg_log_format */
    _Atomic int rendered;  /* that of the lines that wait: not NONE once it was something else */
    struct tg_dated dated; /* under `collecting` */
};

struct tg_engine {
    struct tg_log log;
    struct tg_worker *workers;
    unsigned worker_count;
    size_t capacity;
    struct tg_signal signals[TG_SIGNALS];
    _Atomic bool stopping;
    _Atomic bool follows_databases;
    struct statement_ring statements;
    _Atomic bool draining; /* connections that stay open for another request are asked to go, or closed */
    _Atomic bool parting;  /* they are asked to go, and closed only when they were asked */
    _Atomic size_t outstanding;
    _Atomic size_t unread; /* records that wait */
    struct tg_queue queues[TG_QUEUES];
    struct tg_lookups lookups;
    pthread_mutex_t submitting; /* orders submissions and aborts against the stop */
    pthread_mutex_t collecting;
    bool joined;
    uint64_t cpu_us; /* under `submitting`: of the workers, when it was last asked for */
    _Atomic bool keeps_exchanges;
    _Atomic uint64_t largest_body;     /* of requests; 0: any */
    _Atomic uint32_t adds_headers;     /* enum tg_added */
    _Atomic int64_t spans_per_million; /* negative: no spans are made */
    pthread_mutex_t control; /* everything below is changed under it; taken after `submitting` when both are */
    struct tg_epochs epochs;
    struct tg_verdicts verdicts;
    struct tg_groups groups;
    struct tg_sites sites;
    struct tg_door door; /* set before the first site, read without the mutex */
    struct tg_clusters clusters;
    struct tg_affinities affinities;
    struct tg_node *news; /* taken from the endpoints' mailbox, not yet handed out */
    struct tg_listening listeners[TG_MAX_LISTENERS];
    struct tg_owns owns;
    unsigned char *announced; /* by port of the workload: version of the PROXY protocol. NULL: none. See announce.h */
};

#endif
