#include "explicit/requests.h"

#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/counter.h"
#include "decide/choose.h"
#include "exchange/ending.h"
#include "exchange/head/lend.h"
#include "exchange/reply.h"
#include "exchange/tunnel.h"
#include "explicit/target.h"
#include "ready.h"
#include "state.h"

enum { HTTP_PORT = 80 };

bool explicit_open(struct tg_relay *relay)
{
    struct tg_explicit *it = calloc(1, sizeof *it);
    if (it == NULL)
        return false;
    it->listener = relay->connection->original;
    relay->talk->explicit_ = it;
    return true;
}

/* The connection's requests go to that address from now on; NULL: to none. False, and nothing has changed: nothing is
 * decided about it, connections to it are decided one by one, or it denies the client (is_denied). */
static bool aim_at(struct tg_worker *worker, struct tg_relay *relay, const tg_address *address)
{
    static const tg_address ANY = {0};
    struct tg_connection *connection = relay->connection;
    struct tg_ruling *before = connection->ruling;
    struct tg_ruling *ruling =
        table_find(&worker->engine->verdicts, connection->listener.scope, address == NULL ? &ANY : address);
    if (ruling == NULL)
        return false;
    relay->talk->explicit_->is_denied = ruling_denies(ruling, &connection->peer);
    if (relay->talk->explicit_->is_denied || (ruling->asked.action != TG_RELAY && ruling->asked.action != TG_PASS)) {
        ruling_release(ruling);
        return false;
    }
    /* What was counted of the client's connection so far was of the place before. */
    if (connection->counted && ruling->group != before->group) {
        counter_add(&group_share(connection->group, worker->index)->ended[TG_FINISHED], 1);
        connection->counted = false;
    }
    pthread_mutex_lock(&worker->registry.mutex);
    connection->ruling = ruling;
    connection->verdict = ruling->asked.id;
    connection->original = address == NULL ? relay->talk->explicit_->listener : *address;
    pthread_mutex_unlock(&worker->registry.mutex);
    ruling_release(before);
    relay->idle_timeout_ms = ruling->asked.idle_timeout_ms;
    return true;
}

bool explicit_advance(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_explicit *it = relay->talk->explicit_;
    if (it == NULL || relay->talk->exchange.plan != NULL)
        return false;
    while (it->next < it->found.count)
        if (aim_at(worker, relay, &it->found.addresses[it->next++]))
            return true;
    return false;
}

static void refuse(tg_found *found, int32_t status, uint32_t flag, const char *text)
{
    *found = (tg_found){.status = status, .flag = flag};
    strncpy(found->text, text, sizeof found->text - 1);
}

/* An upstream that is kept for this client is of use where the name still has its address, which is then the first. */
static void prefer_present(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_talk *talk = relay->talk;
    tg_found *found = &talk->explicit_->found;
    if (talk->upstream == NULL)
        return;
    for (uint32_t i = 0; i < found->count; i++) {
        if (address_equal(&found->addresses[i], &talk->upstream->address)) {
            found->addresses[i] = found->addresses[0];
            found->addresses[0] = talk->upstream->address;
            return;
        }
    }
    if (!talk->is_pinned)
        talk_drop_upstream(worker, relay, false);
}

/* The answer is in force: requests go where it says. */
static void settle_on(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_explicit *it = relay->talk->explicit_;
    it->is_answered = false;
    it->lasts_ms = worker->now_us / 1000 + it->found.lasts_ms;
    prefer_present(worker, relay);
    it->next = 0;
    it->is_denied = false;
    const bool has_place = it->found.status != 0 || explicit_advance(worker, relay);
    if (!has_place && it->is_denied)
        refuse(&it->found, 403, 0, "the destination's policy denies this client");
    else if (!has_place)
        refuse(&it->found, 503, TG_FLAG_UO,
               "connections to this destination are decided one by one, which an explicit proxy can't have done");
    if (it->found.status != 0)
        (void)aim_at(worker, relay, NULL);
}

/* The answer to the request before holds for this one, too; what is decided about the place may have changed. */
static void go_on_with(struct tg_worker *worker, struct tg_relay *relay)
{
    struct tg_explicit *it = relay->talk->explicit_;
    const tg_address present = relay->connection->original;
    if (it->found.status == 0 && !aim_at(worker, relay, &present)) {
        it->is_answered = true;
        settle_on(worker, relay);
    }
}

static bool is_the_same(const struct tg_explicit *it, const char *authority, uint32_t length, bool connects)
{
    return it->number > 0 && it->length == length && it->connects == connects &&
           memcmp(it->authority, authority, length) == 0;
}

static enum explicit_step ask(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head,
                              const char *authority, uint32_t length, bool connects)
{
    struct tg_talk *talk = relay->talk;
    struct tg_explicit *it = talk->explicit_;
    if (!is_the_same(it, authority, length, connects)) {
        talk_drop_upstream(worker, relay, false);
        talk->is_pinned = false;
    }
    it->connects = connects;
    it->length = (uint16_t)length;
    memcpy(it->authority, authority, length);
    tg_lookup question = {
        .handle = relay->handle,
        .number = ++it->number,
        .length = it->length,
        .default_port = connects ? 0 : HTTP_PORT,
    };
    /* One that has come through a listener of ours: who is behind it is not known here. */
    if (relay->connection->hops == 0)
        question.peer = relay->connection->peer;
    memcpy(question.authority, authority, length);
    if (!lend_keep(talk, DOWNSTREAM, head) || lookups_ask(worker->engine, &question) < 0) {
        reply(worker, relay, 503, TG_FLAG_UO, "too many names are being looked up");
        return EXPLICIT_ANSWERED;
    }
    it->waits = true;
    return EXPLICIT_WAITS;
}

/* The head at the flow's front becomes what the origin is to get. False: there is no room, or no memory. */
static bool edit(struct tg_worker *worker, struct tg_talk *talk, struct http_head *head, const struct aim *aim)
{
    struct tg_flow *flow = &talk->flow[DOWNSTREAM];
    struct frame frame;
    size_t used;
    char *written = malloc(aim_room(head, aim));
    if (written == NULL)
        return false;
    const size_t length = aim_write(head, flow_at(flow), aim, written);
    const bool has_room = flow_replace(&worker->pool, flow, head->length, written, length);
    free(written);
    if (!has_room)
        return false;
    /* Where its parts are now. */
    frame_requests(&frame);
    frame_lend(&frame, head);
    return frame_pass(&frame, flow_at(flow), 0, length, &used) == FRAME_HEAD && used == length;
}

static enum explicit_step refuse_target(struct tg_worker *worker, struct tg_relay *relay, const struct http_head *head,
                                        enum aimed aimed)
{
    struct tg_exchange *exchange = &relay->talk->exchange;
    exchange_keep(exchange, flow_at(&relay->talk->flow[DOWNSTREAM]), head->length);
    exchange->method = head->method;
    exchange->target = head->target;
    exchange->head_length = head->length;
    const char *why = "the target of the request names no host, or one that can't be";
    if (aimed == AIMED_NOWHERE)
        why = "this is a proxy: the target of a request is http://HOST/PATH, or HOST:PORT of CONNECT";
    else if (aimed == AIMED_SCHEME)
        why = "only http:// is proxied; for https a client asks for a tunnel by CONNECT";
    reply(worker, relay, 400, TG_FLAG_DPE, why);
    return EXPLICIT_ANSWERED;
}

enum explicit_step explicit_head(struct tg_worker *worker, struct tg_relay *relay, struct http_head *head)
{
    struct tg_talk *talk = relay->talk;
    struct tg_explicit *it = talk->explicit_;
    const char *bytes = flow_at(&talk->flow[DOWNSTREAM]);
    const bool connects = head->method.length == 7 && memcmp(bytes + head->method.at, "CONNECT", 7) == 0;
    struct aim aim;
    enum aimed aimed = aim_of(head, bytes, connects, &aim);
    if (aimed == AIMED_WELL && aim.authority.length > TG_LONGEST_AUTHORITY)
        aimed = AIMED_BADLY;
    talk->head_deadline_ms = 0;
    if (talk->exchange.started_us == 0)
        talk->exchange.started_us = worker->now_us;
    if (aimed != AIMED_WELL)
        return refuse_target(worker, relay, head, aimed);
    const char *authority = bytes + aim.authority.at;
    if (it->is_answered)
        settle_on(worker, relay);
    else if (is_the_same(it, authority, aim.authority.length, connects) && worker->now_us / 1000 < it->lasts_ms)
        go_on_with(worker, relay);
    else
        return ask(worker, relay, head, authority, aim.authority.length, connects);
    if (connects) {
        talk_drop_upstream(worker, relay, false);
    } else if (!edit(worker, talk, head, &aim)) {
        reply(worker, relay, 431, TG_FLAG_DPE, "the head of the request is too large");
        return EXPLICIT_ANSWERED;
    }
    return EXPLICIT_GOES_ON;
}

void explicit_found(struct tg_worker *worker, const tg_found *found)
{
    struct tg_relay *relay = registry_find(&worker->registry, found->handle);
    struct tg_explicit *it = relay == NULL || relay->talk == NULL ? NULL : relay->talk->explicit_;
    if (it == NULL || !it->waits || it->number != found->number)
        return; /* its client has gone */
    it->found = *found;
    it->waits = false;
    it->is_answered = true;
    worker_enqueue(worker, relay);
}

bool explicit_refuses(struct tg_worker *worker, struct tg_relay *relay)
{
    const struct tg_explicit *it = relay->talk->explicit_;
    if (it == NULL || it->found.status == 0)
        return false;
    reply(worker, relay, (uint16_t)it->found.status, it->found.flag, it->found.text);
    return true;
}

void explicit_establish(struct tg_worker *worker, struct tg_relay *relay)
{
    static const char ESTABLISHED[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    struct tg_talk *talk = relay->talk;
    talk->exchange.status = 200;
    talk->exchange.answer = ANSWER_DONE;
    flow_forget(&worker->pool, &talk->flow[DOWNSTREAM]);
    talk->flow[UPSTREAM].first = buffer_of(ESTABLISHED, sizeof ESTABLISHED - 1);
    if (talk->flow[UPSTREAM].first == NULL) {
        talk_end(worker, relay, TG_INTERNAL_ERROR, 0);
        return;
    }
    relay->lifetime_ms = relay->connection->ruling->asked.lifetime_ms;
    tunnel_begin(worker, relay);
}
