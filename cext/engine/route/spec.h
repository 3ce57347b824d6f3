/* What the caller says about a site: the rules of a destination, as arrays that point into each other by number and
 * into one text. The part between the marks is read by cffi, behind that of engine.h. */
#ifndef TG_ROUTE_SPEC_H
#define TG_ROUTE_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

/* cdef:begin */
#define TG_MAX_EDITS 64         /* of one tg_filters, each way */
#define TG_MAX_MIRRORS 8        /* of one tg_filters */
#define TG_MAX_RULES 1000000    /* and of everything else that a site has many of, 16 times as many */
#define TG_LONGEST_TARGET 65536 /* bytes of a request's target; a longer one is answered 414 */

enum tg_match_kind { TG_EXACT = 0, TG_PREFIX = 1, TG_REGEX = 2 };
enum tg_subject { TG_HEADER = 0, TG_PARAMETER = 1 };
enum tg_edit_how { TG_SET = 0, TG_ADD = 1, TG_REMOVE = 2 };
enum tg_change_bits { TG_NEW_HOST = 1, TG_NEW_PATH = 2, TG_NEW_PREFIX = 4 };
enum tg_site_flags { TG_ASK_ALWAYS = 1, TG_HTTPS = 2 };

/* Kinds of failure that a request may be sent again after, beside statuses. */
enum tg_retry_on { TG_RETRY_CONNECT = 1, TG_RETRY_RESET = 2, TG_RETRY_TIMEOUT = 4 };
#define TG_NO_CLUSTER 0 /* as a backend's cluster: to where the destination's verdict says */

typedef struct {
    uint32_t at; /* in the site's text */
    uint32_t length;
} tg_piece;

/* Neighbours in one of the site's arrays. */
typedef struct {
    uint32_t first;
    uint32_t count;
} tg_range;

/* A regular expression is not evaluated here: its rule makes the engine ask. The name of a header is in lower case. */
typedef struct {
    int32_t subject; /* enum tg_subject */
    int32_t kind;    /* TG_EXACT or TG_REGEX */
    tg_piece name;
    tg_piece value;
} tg_condition;

typedef struct {
    int32_t how; /* enum tg_edit_how */
    tg_piece name;
    tg_piece value;
} tg_edit;

/* A share of the requests, copied to a cluster. */
typedef struct {
    uint64_t cluster;
    uint32_t numerator;
    uint32_t denominator;
} tg_mirror;

/* Lists are given as they are to stand in a header; "*" stands for all. */
typedef struct {
    tg_range origins; /* in `pieces` */
    tg_piece methods;
    tg_piece headers;
    tg_piece exposed;
    tg_piece max_age;
    int32_t credentials;
} tg_cors;

/* TG_NEW_PATH: `path` is the new path; TG_NEW_PREFIX: it takes the place of the prefix that the rule matched. */
typedef struct {
    int32_t bits; /* enum tg_change_bits */
    tg_piece host;
    tg_piece path;
} tg_change;

typedef struct {
    tg_range request_edits; /* in `edits` */
    tg_range answer_edits;  /* in `edits` */
    tg_range mirrors;       /* in `mirrors` */
    int32_t unobeyed;       /* not 0: requests are answered 500 */
    int32_t cors;           /* in `cors`; -1: none */
    tg_change rewrite;
    tg_change redirect;
    int32_t redirect_status;  /* 0: no redirect */
    int32_t redirect_port;    /* 0: not said */
    tg_piece redirect_scheme; /* empty: not said */
} tg_filters;

typedef struct {
    uint64_t cluster; /* its number, or TG_NO_CLUSTER */
    uint32_t weight;
    uint32_t filters; /* in `filters` */
    int32_t resolved; /* 0: there is no such cluster, and what goes there is answered 500 */
    int32_t unused;
} tg_backend;

/* How often, when and within which budget a request is sent again, to another endpoint if there is one. */
typedef struct {
    uint32_t attempts; /* beside the first try; 0: only where that is always safe */
    uint32_t on;       /* bits of enum tg_retry_on */
    uint32_t backoff_ms;
    uint32_t longest_backoff_ms;
    uint32_t statuses[8]; /* a bit for each status from 400 on */
    double budget_percent;
    double budget_per_s;
} tg_retry;

/* A client's session belongs to an endpoint, which a token in a cookie or a header of this name tells. */
typedef struct {
    int32_t header;    /* not 0: a header, else a cookie */
    int32_t permanent; /* not 0: the cookie lives for absolute_s, else for the client's own session */
    tg_piece name;
    tg_piece path;       /* of the cookie; empty: none is said */
    uint64_t absolute_s; /* from the first answer on; 0: no limit */
    uint64_t idle_s;     /* between two requests; 0: no limit */
} tg_session;

/* A path is normalised, the prefix is without slashes at its end. All that a rule says must hold. */
typedef struct {
    int32_t path_kind; /* enum tg_match_kind */
    uint32_t filters;  /* in `filters` */
    tg_piece path;
    tg_piece method; /* empty: any */
    tg_range conditions;
    tg_range backends;
    tg_piece route;      /* the document's name, to be told of its requests */
    uint32_t request_ms; /* for the answer's end, from the end of the request's head on; 0: no limit */
    uint32_t per_try_ms; /* for the head of the answer, of each attempt; 0: no limit */
    int32_t session;     /* in `sessions`, counted from 1; 0: none */
    int32_t unused;
    tg_retry retry;
} tg_site_rule;

/* What a TrafficPolicy asks of all requests to a destination, beside its rules. Names of headers are in lower case. */
typedef struct {
    double rate_per_s; /* 0: no limit of the rate */
    double shed_percent;
    double delay_percent; /* this and the next one: faults on purpose */
    double abort_percent;
    double hedge_quantile;     /* of times to first byte; 0: no request is hedged */
    double hedge_percent;      /* hedges, of the requests of the last ten seconds */
    tg_piece rate_header;      /* each value of it has a bucket of its own; empty: all callers share one */
    tg_piece shed_header;      /* all requests of one value are shed, or none; empty: each request by chance */
    tg_piece deadline_header;  /* milliseconds; empty: only the headers that are always known */
    tg_range fault_conditions; /* in `conditions`, all TG_HEADER and TG_EXACT: faults are for requests that meet all */
    uint32_t rate_burst;
    uint32_t delay_ms;
    uint32_t abort_status;
    uint32_t hedge_least_ms; /* no hedge before */
} tg_request_policy;

typedef struct {
    uint64_t tag;   /* the caller's: it comes back in questions */
    uint32_t flags; /* enum tg_site_flags */
    uint32_t port;  /* to which the requests come; redirects name it */
    const char *text;
    uint32_t text_length;
    uint32_t rule_count;
    const tg_site_rule *rules; /* in order: the first that takes a request decides */
    const tg_condition *conditions;
    const tg_backend *backends;
    const tg_filters *filters;
    const tg_edit *edits;
    const tg_mirror *mirrors;
    const tg_cors *cors;
    const tg_piece *pieces;
    const tg_session *sessions;
    const tg_request_policy *policies; /* at most one */
    uint32_t condition_count;
    uint32_t backend_count;
    uint32_t filter_count;
    uint32_t edit_count;
    uint32_t mirror_count;
    uint32_t cors_count;
    uint32_t piece_count;
    uint32_t policy_count;
    uint32_t session_count;
    uint32_t unused;
} tg_site_spec;

/* Puts the rules of a site in force for new requests, in the place of those that had its number (not 0). Copied.
 * -EINVAL: something points where nothing is, or could not stand in a head; nothing has changed then. -ENOMEM. */
int tg_engine_set_site(tg_engine *engine, uint64_t number, const tg_site_spec *spec);

/* -ENOENT: there was none. */
int tg_engine_remove_site(tg_engine *engine, uint64_t number);

/* --- The door: what the engine's table can't decide, the caller decides, in the engine's thread --- */

enum tg_reply_kind {
    TG_REPLY_FAILED = 0, /* answered 500 */
    TG_REPLY_RULE = 1,   /* `rule` takes the request; the engine does what the rule says */
    TG_REPLY_NO_RULE = 2,
    TG_REPLY_FORWARD = 3, /* to `backend` of `rule`, with the head that was written */
    TG_REPLY_ANSWER = 4,  /* what was written is a whole answer, with its body */
    TG_REPLY_AS_IS = 5    /* an answer's head stays as it came */
};

/* Pointers are good during the call only. Spans count from `head`: of each header of a request the name's place and
 * length, then the value's. */
typedef struct {
    uint64_t site; /* its number; 0: none */
    uint64_t tag;
    uint64_t random;
    const char *head;
    const uint32_t *headers; /* four numbers each */
    uint32_t head_length;
    uint32_t header_count;
    uint32_t method_at, method_length; /* a request's; of an answer the length is 0 */
    uint32_t target_at, target_length;
    int32_t status; /* an answer's; of a request 0 */
    int32_t minor;
    int32_t rule;     /* of an answer: the rule and the backend that its request had; -1: none */
    int32_t backend;  /* among those of the rule */
    uint64_t context; /* of an answer: what the reply to its request said */
    tg_address peer;
} tg_question;

typedef struct {
    int32_t kind;     /* enum tg_reply_kind; TG_REPLY_FAILED before the call */
    int32_t rule;     /* number in the site */
    int32_t backend;  /* among those of the rule; -1: the engine draws one */
    int32_t status;   /* of TG_REPLY_ANSWER */
    int32_t watches;  /* not 0: the answer's head is to be asked about, too */
    uint32_t written; /* bytes put into `out`, at most `room` */
    uint32_t room;
    uint32_t unused;
    uint64_t context;
    char *out;
} tg_reply;

typedef void (*tg_decider)(void *data, const tg_question *question, tg_reply *reply);

/* Who is asked; NULL: nobody, and what would be asked is answered 500. Called in the engine's threads, several at a
 * time when there are several workers, and never after tg_engine_stop has returned. `data` must live until then. To be
 * set before the first site. */
void tg_engine_set_decider(tg_engine *engine, tg_decider decider, void *data);
/* cdef:end */

#endif
