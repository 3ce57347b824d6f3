#include "site.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "balance/spec.h"
#include "faults.h"
#include "harness.h"
#include "route/spec.h"

enum { CLUSTER = 7 };

static uint16_t ports[2];
static const char TEXT[] = "POSTx-editedyesdefault/route";
static const tg_piece METHOD = {0, 4}, NAME = {4, 8}, VALUE = {12, 3}, ROUTE = {15, 13};

/* Any rule takes any request here; now and then one fails. */
static void answer(void *data, const tg_question *question, tg_reply *reply)
{
    (void)data;
    if (question->status != 0) {
        reply->kind = TG_REPLY_AS_IS;
        return;
    }
    reply->kind = faults_random(20) == 0 ? TG_REPLY_FAILED : TG_REPLY_RULE;
    reply->rule = (int32_t)faults_random(2);
    reply->watches = faults_random(2) == 0;
}

static void put_cluster(tg_engine *engine)
{
    const tg_cluster_endpoint endpoints[2] = {
        {.address = {.ip = {127, 0, 0, 1}, .port = ports[0], .family = 4}, .group = 1, .weight = 1},
        {.address = {.ip = {127, 0, 0, 1}, .port = ports[1], .family = 4}, .group = 2, .weight = faults_random(2)},
    };
    const tg_cluster_spec spec = {.choose = (int32_t)faults_random(4),
                                  .endpoint_count = 2,
                                  .endpoints = endpoints,
                                  .in_a_row = {3, 3, 3},
                                  .limits = {faults_random(3) ? 0 : 4, faults_random(3) ? 0 : 2,
                                             faults_random(2) ? 0 : 3, faults_random(3) ? 0 : 1},
                                  .endpoint_connections = faults_random(3) ? 0 : 3,
                                  .connection_requests = faults_random(3) ? 0 : 5,
                                  .idle_timeout_ms = faults_random(2) ? 0 : 50,
                                  .connect_timeout_ms = 2000};
    const int error = tg_engine_set_cluster(engine, CLUSTER, &spec);
    if (error < 0 && error != -ENOMEM)
        fail("set_cluster: %s", strerror(-error));
}

static void put_site(tg_engine *engine)
{
    const tg_edit edit = {(int32_t)faults_random(2), NAME, VALUE};
    const tg_range one = {0, 1};
    const tg_mirror mirror = {CLUSTER, 1, 2};
    const tg_filters filters[2] = {{.cors = -1},
                                   {.cors = -1,
                                    .mirrors = one,
                                    .request_edits = faults_random(2) ? one : (tg_range){0, 0},
                                    .answer_edits = faults_random(2) ? one : (tg_range){0, 0}}};
    const tg_backend backends[2] = {{.cluster = CLUSTER, .weight = 3, .filters = 1, .resolved = 1},
                                    {.cluster = TG_NO_CLUSTER, .weight = 1, .filters = 0, .resolved = 1}};
    const tg_retry retry = {.attempts = 2,
                            .on = TG_RETRY_CONNECT | TG_RETRY_RESET | TG_RETRY_TIMEOUT,
                            .backoff_ms = 1,
                            .longest_backoff_ms = 5,
                            .budget_percent = 100,
                            .budget_per_s = 10};
    const tg_site_rule rules[2] = {
        {.path_kind = TG_REGEX, .method = METHOD, .backends = {0, 2}, .route = ROUTE, .retry = retry},
        {.path_kind = TG_PREFIX,
         .filters = 1,
         .backends = {0, 2},
         .route = ROUTE,

         .per_try_ms = 1500,
         .retry = retry},
    };
    const tg_request_policy policy = {.rate_per_s = faults_random(3) ? 0 : 1e6,
                                      .rate_burst = 50,
                                      .shed_percent = 2,
                                      .delay_percent = faults_random(2) ? 0 : 10,
                                      .delay_ms = 3,
                                      .abort_percent = 2,
                                      .abort_status = 503,
                                      .hedge_quantile = faults_random(3) ? 0.5 : 0,
                                      .hedge_percent = 100,
                                      .hedge_least_ms = 1,
                                      .deadline_header = NAME};
    const tg_site_spec spec = {.tag = 1,
                               .policies = &policy,
                               .policy_count = faults_random(4) ? 1 : 0,
                               .flags = faults_random(8) == 0 ? TG_ASK_ALWAYS : 0,
                               .port = 80,
                               .text = TEXT,
                               .text_length = sizeof TEXT - 1,
                               .rule_count = 2,
                               .rules = rules,
                               .backends = backends,
                               .backend_count = 2,
                               .filters = filters,
                               .filter_count = 2,
                               .edits = &edit,
                               .edit_count = 1,
                               .mirrors = &mirror,
                               .mirror_count = 1};
    const int error = tg_engine_set_site(engine, SITE, &spec);
    if (error < 0 && error != -ENOMEM)
        fail("set_site: %s", strerror(-error));
}

void site_begin(tg_engine *engine, uint16_t port, uint16_t dead_port)
{
    ports[0] = port;
    ports[1] = dead_port;
    tg_engine_set_decider(engine, answer, NULL);
    site_change(engine);
}

void site_change(tg_engine *engine)
{
    put_cluster(engine);
    put_site(engine);
    tg_endpoint_news news[8];
    while (tg_engine_news(engine, news, 8) > 0)
        continue;
}
