/* A worker's turn: wait, note events on relays, take what other threads sent, fire timers, let every relay on the ready
 * list do a bounded piece of work, publish what ended. Relays run nowhere else than from the ready list, so one turn
 * serves each at most once. */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "accept/accept.h"
#include "accept/accepting.h"
#include "base/clock.h"
#include "exchange/drive.h"
#include "explicit/requests.h"
#include "ready.h"
#include "relay/drive.h"
#include "relay/ending.h"
#include "state.h"

/* Python's code may run in a worker (route/ask.h), so its stack is as large as a main thread's; what is not used costs
 * nothing. */
enum { EVENTS_PER_TURN = 256, STACK_SIZE = 8 * 1024 * 1024 };

static void serve_ready(struct tg_worker *worker)
{
    struct tg_relay *relay = worker->ready_first;
    worker->ready_first = NULL;
    worker->ready_last = &worker->ready_first;
    while (relay != NULL) {
        struct tg_relay *next = relay->ready_next;
        relay->queued = false;
        if (!relay->done)
            relay_run(worker, relay);
        relay = next;
    }
}

static void take_messages(struct tg_worker *worker)
{
    uint64_t ignored;
    /* Reset before looking: what comes after the look wakes us again. */
    (void)!read(worker->wake_fd, &ignored, sizeof ignored);
    for (struct tg_node *node = mailbox_take(&worker->mailbox); node != NULL;) {
        struct tg_node *next = node->next;
        relay_begin(worker, (struct tg_relay *)node);
        node = next;
    }
    for (struct tg_node *node = mailbox_take(&worker->found); node != NULL;) {
        struct tg_node *next = node->next;
        explicit_found(worker, &((struct tg_found_node *)node)->found);
        free(node);
        node = next;
    }
    enum tg_request what;
    for (struct tg_relay *relay; (relay = registry_next_request(&worker->registry, &what)) != NULL;) {
        if (what == REQUEST_ABORT)
            relay_abort(worker, relay);
        else
            relay_settle(worker, relay, what == REQUEST_SETTLE_UPSTREAM ? UPSTREAM : DOWNSTREAM);
    }
    if (atomic_load_explicit(&worker->engine->draining, memory_order_relaxed) && !worker->drained) {
        worker->drained = true;
        for (uint32_t index = 0; index < worker->registry.used; index++) {
            struct tg_relay *relay = registry_slot(&worker->registry, index)->relay;
            if (relay != NULL && relay->talk != NULL)
                worker_enqueue(worker, relay);
        }
        idle_close(worker);
    }
    /* There may be room again; if it was something else that was missing, the next accept finds out. */
    accept_resume(worker);
}

static void fire_timers(struct tg_worker *worker)
{
    struct tg_timer *timer;
    while ((timer = wheel_due(&worker->wheel, worker->now_us / 1000)) != NULL) {
        if (timer == &worker->resume)
            accept_resume(worker);
        else if (timer == &worker->idle.timer)
            idle_sweep(worker);
        else if (timer == &worker->copies.timer)
            copies_sweep(worker);
        else
            relay_timer(worker, (struct tg_relay *)((char *)timer - offsetof(struct tg_relay, timer)));
    }
}

static void abort_all(struct tg_worker *worker)
{
    take_messages(worker);
    for (uint32_t index = 0; index < worker->registry.used; index++) {
        struct tg_relay *relay = registry_slot(&worker->registry, index)->relay;
        if (relay != NULL)
            relay_abort(worker, relay);
    }
    serve_ready(worker);
    copies_close(worker);
    idle_close(worker);
    worker_publish(worker);
}

static void *worker_main(void *argument)
{
    struct tg_worker *worker = argument;
    struct epoll_event events[EVENTS_PER_TURN];

    while (!atomic_load(&worker->engine->stopping)) {
        const int timeout = worker->ready_first != NULL ? 0 : wheel_timeout(&worker->wheel, worker->now_us / 1000);
        const int count = epoll_wait(worker->epoll_fd, events, EVENTS_PER_TURN, timeout);
        bool woken = false;
        epoch_enter(&worker->turn, &worker->engine->epochs.now);
        worker->now_us = clock_us();
        for (int i = 0; i < count; i++) {
            const int kind = (int)(events[i].data.u64 & 0xff);
            if (kind == EVENT_WAKE) {
                woken = true;
                continue;
            }
            if (kind == EVENT_LISTENER) {
                accept_event(worker, (int)(events[i].data.u64 >> 8));
                continue;
            }
            if (kind == EVENT_UPSTREAM) {
                upstream_event(worker, events[i].data.u64 & ~UINT64_C(0xff), events[i].events);
                continue;
            }
            /* Not found: an event of this batch or an inherited duplicate of the socket outlived its relay. */
            struct tg_relay *relay = registry_find(&worker->registry, events[i].data.u64);
            if (relay != NULL)
                relay_event(worker, relay, kind, events[i].events);
        }
        if (woken)
            take_messages(worker);
        fire_timers(worker);
        serve_ready(worker);
        worker_publish(worker);
        epoch_leave(&worker->turn);
    }
    abort_all(worker);
    return NULL;
}

int worker_init(struct tg_worker *worker, struct tg_engine *engine, uint8_t index, size_t capacity)
{
    worker->engine = engine;
    worker->index = index;
    worker->ready_last = &worker->ready_first;
    worker->epoll_fd = worker->wake_fd = -1;
    atomic_init(&worker->turn, TG_ASLEEP);
    epoch_join(&engine->epochs, &worker->turn);
    worker->now_us = clock_us();
    worker->random = worker->now_us | 1;
    memory_init(&worker->memory, engine->verdicts.seed);
    wheel_start(&worker->wheel, worker->now_us / 1000);
    const int error = registry_init(&worker->registry, capacity);
    if (error < 0)
        return error;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT_WAKE};
    if (worker->epoll_fd < 0 || worker->wake_fd < 0 ||
        epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) < 0)
        return -errno;
    return 0;
}

/* Signals are Python's: a worker inherits a full mask, and gets the SIGPIPE that splice can't be told to leave out as a
 * pending one. */
int worker_start(struct tg_worker *worker)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0)
        pthread_setname_np(worker->thread, "tidegate-relay");
    return -error;
}

void worker_release(struct tg_worker *worker)
{
    if (worker->epoll_fd >= 0)
        close(worker->epoll_fd);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    worker->epoll_fd = worker->wake_fd = -1;
    upstreams_destroy(&worker->upstreams);
    pool_destroy(&worker->pool);
}
