/* Deciding requests by the rules of their destination: which rule takes a request, where it goes, and how its head and
 * that of its answer are edited. No socket, no clock, no lock. */
#ifndef TG_ROUTE_H
#define TG_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "route/site.h"

enum {
    ROUTE_MAX_ORIGIN = 280, /* bytes of an Origin; a longer one names no origin */
};

enum route_kind {
    ROUTE_FORWARD, /* to `cluster` */
    ROUTE_ANSWER,  /* by an answer of our own: `status` */
    ROUTE_ASK      /* the table can't say: route_ask (route/ask.h) can */
};

/* Why a request gets an answer of our own. */
enum route_why {
    ROUTE_NOT_ANSWERED,
    ROUTE_NO_RULE,    /* 404 */
    ROUTE_UNOBEYED,   /* 500: a filter that we do not obey */
    ROUTE_NO_BACKEND, /* 500: no backends, or all weights 0 */
    ROUTE_UNRESOLVED, /* 500: the backend is not there */
    ROUTE_REDIRECTED,
    ROUTE_PREFLIGHT, /* of CORS */
    ROUTE_FILTERED,  /* a Python filter answers */
    ROUTE_FAILED,    /* 500: what was asked failed */
    ROUTE_TARGET     /* 414: the target is too long */
};

struct tg_door;

/* What was decided for one request. Holds a reference of the site until route_release. */
struct route_outcome {
    enum route_kind kind;
    enum route_why why;
    struct tg_site *site;
    int32_t rule;     /* its number in the site; -1: none */
    int32_t backend;  /* its place among the rule's; -1: none */
    uint64_t cluster; /* of FORWARD */
    uint64_t random;
    uint16_t status;
    bool edits_request; /* FORWARD: send what route_write_request writes; otherwise the head as it came */
    bool edits_answer;  /* FORWARD: send what route_write_answer writes; otherwise the answer's head as it came */
    uint8_t mirror_count;
    uint64_t mirrors[TG_MAX_MIRRORS]; /* clusters that get a copy of the request */
    bool cors_allows;                 /* `origin` is one that the rule's CORS filter allows */
    uint16_t origin_length;
    char origin[ROUTE_MAX_ORIGIN];
    /* Of a Python filter only: */
    char *written; /* a request's head, or a whole answer; ours */
    uint32_t written_length;
    const struct tg_door *door; /* not NULL: asked about the answer's head */
    uint64_t context;
};

/* Decides. `bytes` are those of the head, `random` is any number: the same one gives the same outcome. Fills the
 * outcome, which needs no preparation. */
enum route_kind route_decide(struct tg_site *site, const struct http_head *head, const char *bytes, uint64_t random,
                             struct route_outcome *outcome);

/* Sends a request that was to be forwarded to another of its rule's backends. May turn it into an answer. */
enum route_kind outcome_forward_to(struct route_outcome *outcome, int32_t backend);

/* Gives back what an outcome holds. May be called once for each outcome that was filled. */
void route_release(struct route_outcome *outcome);

/* The head to send upstream: into `out`. Returns its length; -1: there is no room (HTTP_MAX_HEADERS and the site's
 * texts bound it: head->length + site->most_added always suffices). */
int64_t route_write_request(const struct route_outcome *outcome, const struct http_head *head, const char *bytes,
                            char *out, size_t room);

/* The head of an answer to send downstream; `head` and `bytes` are the answer's. As above. A final answer of upstream
 * only: informational ones pass as they came. -1 also where a filter wrote more than there is room for, or failed. */
int64_t route_write_answer(struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                           size_t room);

/* The whole answer of our own, for ROUTE_ANSWER; `head` and `bytes` are the request's. It has no body but where a
 * filter gave one, and says what becomes of the connection as head->keep_alive has it. As above. */
int64_t route_write_own(const struct route_outcome *outcome, const struct http_head *head, const char *bytes, char *out,
                        size_t room);

#endif
