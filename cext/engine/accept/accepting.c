#include "accept/accepting.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/counter.h"

enum { PAUSE_MS = 100 };

static void set_watched(struct tg_worker *worker, bool watched)
{
    for (int number = 0; number < TG_MAX_LISTENERS; number++) {
        struct tg_listening *listening = &worker->engine->listeners[number];
        if (!atomic_load(&listening->open))
            continue;
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = LISTENER_EVENT(number)};
        /* Already there, already gone, or closed meanwhile: what was wanted holds. Lack of memory is met again at the
         * next resume. */
        if (epoll_ctl(worker->epoll_fd, watched ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listening->fd, &event) < 0 &&
            watched && (errno == ENOMEM || errno == ENOSPC)) {
            worker->paused = true;
            wheel_arm(&worker->wheel, &worker->resume, worker->now_us / 1000 + PAUSE_MS);
        }
    }
}

/* Level-triggered and not accepted, a listener would spin: it leaves the epoll for a while. Trying again in vain is
 * part of the same pause. */
void accept_pause(struct tg_worker *worker, _Atomic uint64_t *reason)
{
    if (worker->paused)
        return;
    worker->paused = true;
    if (!worker->short_of)
        counter_add(reason, 1);
    worker->short_of = true;
    set_watched(worker, false);
    wheel_arm(&worker->wheel, &worker->resume, worker->now_us / 1000 + PAUSE_MS);
}

void accept_starving(struct tg_worker *worker, struct tg_relay *relay, bool starving)
{
    struct tg_connection *connection = relay->connection;
    if (connection->short_of == starving)
        return;
    connection->short_of = starving;
    if (!starving) {
        worker->starving--;
        return;
    }
    worker->starving++;
    accept_pause(worker, &worker->pauses);
}

void accept_resume(struct tg_worker *worker)
{
    if (!worker->paused)
        return;
    /* A new connection would take the descriptor that an older one waits for, and then wait for the next. */
    if (worker->starving > 0) {
        wheel_arm(&worker->wheel, &worker->resume, worker->now_us / 1000 + PAUSE_MS);
        return;
    }
    worker->paused = false;
    atomic_store(&worker->wants_space, false);
    wheel_disarm(&worker->wheel, &worker->resume);
    set_watched(worker, true);
}
