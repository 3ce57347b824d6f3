/* Hammers exchanges of HTTP/1 under a sanitizer: clients that pipeline, break off, stall and talk nonsense, servers
 * that answer in pieces, by chunks, until they close, or not at all, while system calls fail. Usage: exchange SECONDS
 * FAULT_RATE. An answer that a client gets is the one to its request, in order and whole, or one of the proxy's own;
 * at the end every connection is accounted for. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "faults.h"
#include "harness.h"
#include "site.h"
#include "web.h"

enum { CLIENTS = 4, SERVERS = 12, WORKERS = 2, KEYS = 16 };

static tg_engine *engine;
static uint16_t site_port, dead_port, front_port;
static _Atomic bool clients_stop;
static _Atomic uint64_t answered, own_answers, broken, recorded;

static struct sockaddr_in at(uint32_t host, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
}

static int listening(uint16_t *port)
{
    struct sockaddr_in address = at(INADDR_LOOPBACK, 0);
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1000) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        fail("listening: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

/* Reads one answer. False: the connection is of no use any more. */
static bool check_answer(int fd, struct heard *heard, unsigned long number)
{
    size_t head;
    static __thread char body[MOST_BODY];
    do {
        head = hear_head(fd, heard);
        if (head == 0)
            return false;
        if (memcmp(heard->bytes + heard->used, "HTTP/1.1 1", 10) == 0)
            heard->used += head;
        else
            break;
    } while (true);
    const char *begin = heard->bytes + heard->used;
    if (memcmp(begin, "HTTP/1.1 50", 11) == 0) {
        const unsigned long length = number_behind(begin, head, "content-length: ");
        const bool closes = memmem(begin, head, "connection: close", 17) != NULL;
        heard->used += head;
        if (!hear_length(fd, heard, length))
            return false;
        heard->used += length;
        atomic_fetch_add(&own_answers, 1);
        return !closes;
    }
    if (memcmp(begin, "HTTP/1.1 200", 12) != 0)
        fail("an answer that nobody gave: %.*s", (int)head, begin);
    if (number_behind(begin, head, "X-Number: ") != number)
        fail("the answer to %lu is that to %lu", number, number_behind(begin, head, "X-Number: "));
    const size_t size = number_behind(begin, head, "X-Size: ");
    const bool chunked = memmem(begin, head, "chunked", 7) != NULL;
    const bool delimited = chunked || memmem(begin, head, "Content-Length", 14) != NULL;
    heard->used += head;
    write_body(body, size, number);
    size_t done = 0;
    while (chunked) {
        const char *line;
        while ((line = memmem(heard->bytes + heard->used, heard->length - heard->used, "\r\n", 2)) == NULL)
            if (!hear(fd, heard))
                return false;
        const size_t chunk = strtoul(heard->bytes + heard->used, NULL, 16);
        heard->used = (size_t)(line - heard->bytes) + 2;
        if (!hear_length(fd, heard, chunk == 0 ? strlen("T: x\r\n\r\n") : chunk + 2))
            return false;
        if (chunk == 0) {
            heard->used += strlen("T: x\r\n\r\n");
            break;
        }
        if (done + chunk > size || memcmp(heard->bytes + heard->used, body + done, chunk) != 0)
            fail("a chunk of the answer to %lu differs", number);
        done += chunk;
        heard->used += chunk + 2;
    }
    if (!chunked) {
        if (!hear_length(fd, heard, size))
            return false;
        if (memcmp(heard->bytes + heard->used, body, size) != 0)
            fail("the answer to %lu differs", number);
        heard->used += size;
        done = size;
    }
    if (done != size)
        fail("%zu of %zu bytes were the whole of the answer to %lu", done, size, number);
    atomic_fetch_add(&answered, 1);
    return delimited;
}

static void talk(int fd, struct heard *heard, char *out)
{
    static _Atomic unsigned long numbers = 1;
    heard->length = heard->used = 0;
    for (unsigned rounds = faults_random(6) + 1; rounds > 0; rounds--) {
        const unsigned count = faults_random(3) ? 1 : 1 + faults_random(4);
        const unsigned long first = atomic_fetch_add(&numbers, count);
        size_t length = 0;
        if (faults_random(40) == 0) {
            send_all(fd, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 66);
            if (hear_head(fd, heard) > 0 && memcmp(heard->bytes + heard->used, "HTTP/1.1 400", 12) != 0 &&
                memcmp(heard->bytes + heard->used, "HTTP/1.1 50", 11) != 0)
                fail("nonsense was answered by %.12s", heard->bytes + heard->used);
            return;
        }
        for (unsigned i = 0; i < count; i++) {
            if (faults_random(3)) {
                length += (size_t)sprintf(out + length, "GET /%lu HTTP/1.1\r\nHost: a\r\n\r\n", first + i);
            } else {
                const size_t size = faults_random(count == 1 ? MOST_BODY : 3000);
                length += (size_t)sprintf(out + length, "POST /%lu HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                                          first + i, size);
                memset(out + length, 'b', size);
                length += size;
            }
        }
        const bool cut = faults_random(50) == 0;
        if (!send_all(fd, out, length - (cut ? 1 : 0)) || cut || faults_random(30) == 0)
            return;
        if (faults_random(20) == 0)
            shutdown(fd, SHUT_WR);
        for (unsigned i = 0; i < count; i++) {
            errno = 0;
            if (!check_answer(fd, heard, first + i)) {
                if (errno == EAGAIN)
                    fail("a client waits for ever for the answer to %lu (of %u from %lu)", first + i, count, first);
                atomic_fetch_add(&broken, 1);
                return;
            }
        }
    }
}

static void *call(void *argument)
{
    struct heard heard = {.bytes = malloc(ROOM)};
    char *out = malloc(ROOM);
    const struct timeval patience = {.tv_sec = 5};
    (void)argument;
    faults_spare(true);
    while (!atomic_load(&clients_stop)) {
        const struct sockaddr_in from = at(0x7f010000 | faults_random(KEYS), 0);
        const struct sockaddr_in to = at(INADDR_LOOPBACK, front_port);
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (bind(fd, (const struct sockaddr *)&from, sizeof from) < 0)
            fail("bind: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
            talk(fd, &heard, out);
        if (faults_random(4) == 0)
            reset(fd);
        else
            close(fd);
    }
    free(heard.bytes);
    free(out);
    return NULL;
}

static void decide(void)
{
    const tg_endpoint endpoints[2] = {
        {.address = {.ip = {127, 0, 0, 1}, .port = site_port, .family = 4}, .weight = 9, .group = 1},
        {.address = {.ip = {127, 0, 0, 1}, .port = dead_port, .family = 4}, .weight = 1, .group = 2},
    };
    for (uint8_t i = 0; i < KEYS; i++) {
        const tg_address address = {.ip = {10, 0, 0, i}, .port = 80, .family = 4};
        const tg_verdict verdict = {.id = i,
                                    .group = 3,
                                    .endpoints = endpoints,
                                    .endpoint_count = 2,
                                    .connect_timeout_ms = 2000,
                                    .idle_timeout_ms = 3000,
                                    .site = i % 4 < 2 ? 0 : SITE,
                                    .speaks = i % 2 ? TG_HTTP : TG_DETECT};
        int error;
        while ((error = tg_engine_set_verdict(engine, 1, &address, &verdict)) == -ENOMEM)
            continue;
        if (error < 0)
            fail("set_verdict: %s", strerror(-error));
    }
}

static int collect(void)
{
    tg_record records[50];
    const int count = tg_engine_records(engine, records, 50);
    atomic_fetch_add(&recorded, (uint64_t)count);
    return count;
}

int main(int count, char **arguments)
{
    pthread_t clients[CLIENTS], servers[SERVERS];
    if (count != 3)
        fail("usage: exchange SECONDS FAULT_RATE");
    web.site = listening(&site_port);
    close(listening(&dead_port));
    const int before = open_descriptors();
    int error = tg_engine_new(WORKERS, 400, &engine);
    if (error < 0)
        fail("tg_engine_new: %s", strerror(-error));
    const tg_listener options = {.scope = 1, .original = TG_ORIGINAL_SOCKOPT, .hairpin_from = -1};
    if (tg_engine_listen(engine, listening(&front_port), &options) < 0)
        fail("listen");
    site_begin(engine, site_port, dead_port);
    decide();
    for (intptr_t i = 0; i < SERVERS; i++)
        pthread_create(&servers[i], NULL, web_serve, NULL);
    faults_set((unsigned)atoi(arguments[2]));
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, call, NULL);
    for (int i = 0; i < 50 * atoi(arguments[1]); i++) {
        usleep(20000);
        site_change(engine);
        while (collect() > 0)
            continue;
    }
    atomic_store(&clients_stop, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    tg_engine_drain(engine);
    tg_totals totals;
    for (int i = 0; i < 600; i++) {
        collect();
        tg_engine_totals(engine, &totals);
        if (totals.active == 0)
            break;
        usleep(10000);
    }
    faults_set(0);
    while (collect() > 0)
        continue;
    tg_engine_totals(engine, &totals);
    if (totals.active != 0 || totals.outstanding != 0 || totals.completed != recorded)
        fail("active %llu, outstanding %llu, completed %llu, recorded %llu", (unsigned long long)totals.active,
             (unsigned long long)totals.outstanding, (unsigned long long)totals.completed,
             (unsigned long long)recorded);
    tg_engine_free(engine);
    atomic_store(&web.stop, true);
    shutdown(web.site, SHUT_RDWR);
    for (int i = 0; i < SERVERS; i++)
        pthread_join(servers[i], NULL);
    printf("%llu connections; answers: %llu whole, %llu of our own, %llu broken off; %llu faults\n",
           (unsigned long long)recorded, (unsigned long long)answered, (unsigned long long)own_answers,
           (unsigned long long)broken, (unsigned long long)faults_injected());
    if (answered == 0)
        fail("no answer was whole");
    if (open_descriptors() != before)
        fail("%d descriptors before, %d after", before, open_descriptors());
    return 0;
}
