/* Hammers the engine from several threads while system calls fail, under a sanitizer. Usage: stress SECONDS FAULT_RATE.
 *
 * Each driver thread plays both peers of a number of relays; every relay follows a plan. Bytes are checked as they
 * arrive: always a prefix of what was sent, and all of it where the plan is a clean one. At the end nothing may be
 * left: relays, completions, descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "faults.h"
#include "harness.h"

enum { DRIVERS = 2, SUBJECTS = 24, WORKERS = 3, PERIOD = 65521, PIECE = 70000, PATIENCE_S = 30 };
enum plan { CLEAN, RESET, ABORT, IDLE, PLANS };

struct peer {
    int fd; /* -1: gone */
    uint64_t to_send;
    uint64_t sent;
    uint64_t got;
    bool finished;
    bool saw_end;
};

struct subject {
    enum plan plan;
    uint32_t serial;
    uint32_t steps_left; /* until the plan's violent act */
    bool running;
    bool acted;
    uint64_t handle;
    time_t begun;
    struct peer peer[2];
    _Atomic uint32_t ended_serial; /* set by the collector after `outcome` */
    tg_completion outcome;
};

static tg_engine *engine;
static struct subject subjects[DRIVERS][SUBJECTS];
static unsigned char noise[2 * PERIOD + PIECE];
static _Atomic bool stopping;
static _Atomic uint64_t submitted, collected, by_reason[TG_INTERNAL_ERROR + 1];

static time_t now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void tcp_pair(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        connect(pair[0], (struct sockaddr *)&address, size) < 0 ||
        (pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
        fail("tcp_pair: %s", strerror(errno));
    close(listener);
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

static void make_pair(int pair[2], bool tcp)
{
    faults_spare(true);
    if (tcp)
        tcp_pair(pair);
    else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        fail("socketpair: %s", strerror(errno));
    if (faults_random(3) == 0) {
        const int small = 1;
        for (int i = 0; i < 2; i++)
            setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }
    faults_spare(false);
}

static void act(struct subject *it)
{
    if (it->acted || it->steps_left-- > 0)
        return;
    it->acted = true;
    if (it->plan == RESET) {
        const struct linger now = {.l_onoff = 1};
        struct peer *peer = &it->peer[faults_random(2)];
        if (peer->fd < 0)
            return;
        setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(peer->fd);
        peer->fd = -1;
    } else if (it->plan == ABORT) {
        const int error = tg_engine_abort(engine, it->handle);
        if (error < 0 && error != -ENOENT)
            fail("abort: %s", strerror(-error));
    }
}

static void begin(int driver, int index)
{
    struct subject *it = &subjects[driver][index];
    const bool tcp = faults_random(3) == 0;
    int down[2], up[2];
    make_pair(down, tcp);
    make_pair(up, tcp);
    it->plan = faults_random(PLANS);
    it->serial++;
    it->steps_left = faults_random(200);
    it->acted = false;
    it->begun = now_s();
    for (int i = 0; i < 2; i++)
        it->peer[i] =
            (struct peer){.fd = i == 0 ? down[0] : up[0], .to_send = faults_random(faults_random(4) ? 20000 : 3000000)};
    const uint64_t early = faults_random(2) ? faults_random(1000) : 0;
    tg_relay_request request = {
        .downstream_fd = down[1],
        .upstream_fd = up[1],
        .early_downstream = noise,
        .early_downstream_len = early,
        .idle_timeout_ms = it->plan == IDLE ? 40 : 0,
        .lifetime_ms = it->plan == IDLE && faults_random(2) ? 60 : 0,
    };
    it->peer[0].sent = early;
    if (it->peer[0].to_send < early)
        it->peer[0].to_send = early;
    int error;
    while ((error = tg_engine_relay(engine, (uint64_t)driver << 40 | (uint64_t)index << 32 | it->serial, &request,
                                    &it->handle)) < 0)
        if (error != -ENOMEM && error != -ENOBUFS)
            fail("relay: %s", strerror(-error));
    atomic_fetch_add(&submitted, 1);
    it->running = true;
    /* At once: the worker may not even have begun. */
    if (it->plan == ABORT && faults_random(2) == 0) {
        it->steps_left = 0;
        act(it);
    }
}

/* Some bytes out; false when there is nothing more to do. */
static void write_some(struct subject *it, struct peer *peer)
{
    if (peer->fd < 0 || peer->finished)
        return;
    if (peer->sent == peer->to_send) {
        if (it->plan == CLEAN) {
            shutdown(peer->fd, SHUT_WR);
            peer->finished = true;
        }
        return;
    }
    uint64_t size = 1 + faults_random(PIECE - 1);
    if (size > peer->to_send - peer->sent)
        size = peer->to_send - peer->sent;
    const ssize_t sent = send(peer->fd, noise + peer->sent % PERIOD, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        peer->sent += (uint64_t)sent;
}

static void read_some(struct subject *it, int end)
{
    static _Thread_local unsigned char buffer[PIECE];
    struct peer *peer = &it->peer[end];
    const struct peer *writer = &it->peer[1 - end];
    if (peer->fd < 0 || peer->saw_end)
        return;
    const ssize_t got = recv(peer->fd, buffer, 1 + faults_random(PIECE - 1), MSG_DONTWAIT);
    if (got > 0) {
        if (memcmp(buffer, noise + peer->got % PERIOD, (size_t)got) != 0)
            fail("relay %u: wrong bytes at %llu", it->serial, (unsigned long long)peer->got);
        peer->got += (uint64_t)got;
        if (peer->got > writer->sent)
            fail("relay %u: more came than was sent", it->serial);
    } else if (got == 0) {
        peer->saw_end = true;
    } else if (errno == ECONNRESET || errno == EPIPE) {
        peer->saw_end = true;
    }
}

static void check(struct subject *it)
{
    const tg_completion *outcome = &it->outcome;
    /* The only injected failure that may end a relay is that of epoll_ctl at its beginning. */
    if (outcome->reason == TG_INTERNAL_ERROR) {
        if (outcome->error != ENOMEM && outcome->error != ENOSPC)
            fail("internal error: %s", strerror(outcome->error));
    } else if (it->plan == CLEAN) {
        if (outcome->reason != TG_FINISHED || outcome->bytes_sent != it->peer[0].to_send ||
            outcome->bytes_received != it->peer[1].to_send)
            fail("relay %u: planned clean, %llu and %llu bytes; ended by reason %d, error %d, with %llu and %llu",
                 it->serial, (unsigned long long)it->peer[0].to_send, (unsigned long long)it->peer[1].to_send,
                 outcome->reason, outcome->error, (unsigned long long)outcome->bytes_sent,
                 (unsigned long long)outcome->bytes_received);
        for (int i = 0; i < 2; i++)
            if (it->peer[1 - i].got != it->peer[i].to_send)
                fail("relay %u: planned clean, %llu of %llu bytes arrived", it->serial,
                     (unsigned long long)it->peer[1 - i].got, (unsigned long long)it->peer[i].to_send);
    } else if (it->plan == ABORT && outcome->reason != TG_ABORTED) {
        fail("relay %u: planned an abort, ended by reason %d", it->serial, outcome->reason);
    } else if (it->plan == IDLE && outcome->reason != TG_IDLE_TIMEOUT && outcome->reason != TG_LIFETIME) {
        fail("relay %u: planned to be idle, ended by reason %d", it->serial, outcome->reason);
    }
}

static bool step(struct subject *it)
{
    for (int i = 0; i < 2; i++) {
        if (faults_random(4) != 0)
            write_some(it, &it->peer[i]);
        if (faults_random(4) != 0)
            read_some(it, i);
    }
    act(it);
    /* Closing an AF_UNIX socket is a clean end unless bytes were unread, and then the other peer has to end, too. */
    for (int i = 0; i < 2; i++) {
        if (it->plan == RESET && it->peer[i].saw_end && it->peer[i].fd >= 0) {
            close(it->peer[i].fd);
            it->peer[i].fd = -1;
        }
    }
    const bool over = atomic_load(&it->ended_serial) == it->serial;
    if (over &&
        (it->plan != CLEAN || it->outcome.reason != TG_FINISHED || (it->peer[0].saw_end && it->peer[1].saw_end))) {
        check(it);
        for (int i = 0; i < 2; i++)
            if (it->peer[i].fd >= 0)
                close(it->peer[i].fd);
        it->running = false;
    } else if (now_s() - it->begun > PATIENCE_S) {
        fail("relay %u hangs: plan %d, acted %d, completion %d; client sent %llu got %llu of %llu, server sent %llu "
             "got %llu of %llu",
             it->serial, it->plan, it->acted, over, (unsigned long long)it->peer[0].sent,
             (unsigned long long)it->peer[0].got, (unsigned long long)it->peer[1].to_send,
             (unsigned long long)it->peer[1].sent, (unsigned long long)it->peer[1].got,
             (unsigned long long)it->peer[0].to_send);
    }
    return it->running;
}

static void *drive(void *argument)
{
    const int driver = (int)(intptr_t)argument;
    bool any;
    do {
        any = false;
        for (int i = 0; i < SUBJECTS; i++) {
            if (!subjects[driver][i].running && !atomic_load(&stopping))
                begin(driver, i);
            if (subjects[driver][i].running)
                any = step(&subjects[driver][i]) || any;
        }
    } while (any || !atomic_load(&stopping));
    return NULL;
}

/* Collects in small batches, and meanwhile looks at everything that others may look at. */
static void collect(void)
{
    tg_completion batch[7];
    tg_live live[5];
    tg_totals totals;
    uint64_t cursor = 0;
    const int count = tg_engine_completions(engine, batch, 7);
    for (int i = 0; i < count; i++) {
        struct subject *it = &subjects[batch[i].id >> 40][batch[i].id >> 32 & 0xff];
        it->outcome = batch[i];
        atomic_store(&it->ended_serial, (uint32_t)batch[i].id);
        atomic_fetch_add(&by_reason[batch[i].reason], 1);
        atomic_fetch_add(&collected, 1);
    }
    tg_engine_totals(engine, &totals);
    while (tg_engine_live(engine, &cursor, live, 5) > 0)
        continue;
    if (count == 0)
        usleep(500);
}

static void *collect_all(void *argument)
{
    while (!atomic_load((_Atomic bool *)argument))
        collect();
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t drivers[DRIVERS], collector;
    _Atomic bool collected_all = false;
    if (count != 3)
        fail("usage: stress SECONDS FAULT_RATE");
    for (int i = 0; i < PERIOD; i++)
        noise[i] = (unsigned char)faults_random(256);
    for (size_t i = PERIOD; i < sizeof noise; i++)
        noise[i] = noise[i - PERIOD];
    const int before = open_descriptors();
    int error = tg_engine_new(WORKERS, DRIVERS * SUBJECTS * 2, &engine);
    if (error < 0)
        fail("tg_engine_new: %s", strerror(-error));
    faults_set((unsigned)atoi(arguments[2]));
    pthread_create(&collector, NULL, collect_all, &collected_all);
    for (intptr_t i = 0; i < DRIVERS; i++)
        pthread_create(&drivers[i], NULL, drive, (void *)i);
    sleep((unsigned)atoi(arguments[1]));
    atomic_store(&stopping, true);
    for (int i = 0; i < DRIVERS; i++)
        pthread_join(drivers[i], NULL);
    atomic_store(&collected_all, true);
    pthread_join(collector, NULL);
    faults_set(0);
    tg_totals totals;
    tg_engine_totals(engine, &totals);
    if (totals.active != 0 || totals.completed != submitted || collected != submitted)
        fail("submitted %llu, collected %llu, completed %llu, active %llu", (unsigned long long)submitted,
             (unsigned long long)collected, (unsigned long long)totals.completed, (unsigned long long)totals.active);
    tg_engine_free(engine);
    if (open_descriptors() != before)
        fail("%d descriptors before, %d after", before, open_descriptors());
    printf("%llu relays (finished %llu, downstream reset %llu, upstream reset %llu, idle %llu, lifetime %llu, aborted "
           "%llu, internal %llu), %llu MB, "
           "%llu of them spliced, %llu faults\n",
           (unsigned long long)submitted, (unsigned long long)by_reason[0], (unsigned long long)by_reason[1],
           (unsigned long long)by_reason[2], (unsigned long long)by_reason[3], (unsigned long long)by_reason[4],
           (unsigned long long)by_reason[5], (unsigned long long)by_reason[6],
           (unsigned long long)(totals.bytes_sent + totals.bytes_received) >> 20,
           (unsigned long long)totals.spliced_bytes >> 20, (unsigned long long)faults_injected());
    return 0;
}
