/* Hammers the splice lane under a sanitizer: clients and servers on loopback, while verdicts change, listeners come and
 * go, and system calls fail. Usage: lane SECONDS FAULT_RATE. A client may be refused at any time, but a connection that
 * ends cleanly has carried every byte, and at the end every connection is accounted for. Original destinations are made
 * up in faults.c. */
#include <errno.h>
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

enum { CLIENTS = 4, SERVERS = 8, SITES = 3, KEYS = 16, WORKERS = 3, MESSAGE = 100000 };

static tg_engine *engine;
static int sites[SITES]; /* listening sockets of the servers; one server thread in SERVERS belongs to each in turn */
static uint16_t site_ports[SITES];
static uint16_t dead_port;
static _Atomic uint16_t front_port;
static _Atomic bool clients_stop, all_stop;
static _Atomic uint64_t echoed, broken, recorded, punted, given_back, completed;
static unsigned char message[MESSAGE];

static struct sockaddr_in at(uint32_t host, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
}

static int listening(uint16_t *port)
{
    struct sockaddr_in address = at(INADDR_LOOPBACK, *port);
    socklen_t size = sizeof address;
    const int one = 1;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 1000) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        fail("listening: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static bool send_all(int fd, const unsigned char *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        const ssize_t now = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (now <= 0)
            return false;
        sent += (size_t)now;
    }
    return true;
}

/* Reads all, then answers with the same: no deadlock with a client that does it the other way round. Some servers break
 * off. */
static void *serve(void *argument)
{
    unsigned char *buffer = malloc(MESSAGE);
    faults_spare(true);
    while (!atomic_load(&all_stop)) {
        const int fd = accept4(sites[(intptr_t)argument % SITES], NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        size_t got = 0;
        for (ssize_t now; got < MESSAGE && (now = recv(fd, buffer + got, MESSAGE - got, 0)) > 0;)
            got += (size_t)now;
        if (faults_random(10) == 0) {
            reset(fd);
        } else {
            send_all(fd, buffer, got);
            close(fd);
        }
    }
    free(buffer);
    return NULL;
}

static void talk(int fd, unsigned char *buffer)
{
    const size_t size = 1 + faults_random(faults_random(3) ? 2000 : MESSAGE - 1);
    size_t got = 0;
    ssize_t now = -1;
    bool clean = send_all(fd, message, size);
    if (faults_random(20) == 0)
        return;
    shutdown(fd, SHUT_WR);
    while (got < size && (now = recv(fd, buffer + got, size - got, 0)) > 0)
        got += (size_t)now;
    if (memcmp(buffer, message, got) != 0)
        fail("an echo differs");
    if (got == size)
        now = recv(fd, buffer, 1, 0);
    clean = clean && now == 0;
    if (clean && got != size)
        fail("a clean end after %zu of %zu bytes", got, size);
    atomic_fetch_add(clean ? &echoed : &broken, 1);
}

static void *call(void *argument)
{
    unsigned char *buffer = malloc(MESSAGE);
    const struct timeval patience = {.tv_sec = 20};
    (void)argument;
    faults_spare(true);
    while (!atomic_load(&clients_stop)) {
        const struct sockaddr_in from = at(0x7f010000 | faults_random(KEYS), 0);
        const struct sockaddr_in to = at(INADDR_LOOPBACK, atomic_load(&front_port));
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (bind(fd, (const struct sockaddr *)&from, sizeof from) < 0)
            fail("bind: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0) {
            errno = 0;
            talk(fd, buffer);
            if (errno == EAGAIN)
                fail("a client waits for ever");
        }
        close(fd);
    }
    free(buffer);
    return NULL;
}

static tg_address key(uint8_t last, uint16_t port)
{
    return (tg_address){.ip = {10, 0, 0, last}, .port = port, .family = 4};
}

static tg_endpoint endpoint(uint16_t port)
{
    return (tg_endpoint){
        .address = {.ip = {127, 0, 0, 1}, .port = port, .family = 4}, .weight = 1 + faults_random(5), .group = port};
}

static void change_a_verdict(void)
{
    const tg_address address = key((uint8_t)faults_random(KEYS), 80);
    const tg_endpoint endpoints[3] = {endpoint(faults_random(3) ? site_ports[0] : dead_port), endpoint(site_ports[1]),
                                      endpoint(site_ports[2])};
    tg_verdict verdict = {.id = faults_random(1000), .group = faults_random(4), .balance = (int)faults_random(2)};
    const uint32_t kind = faults_random(12);
    if (kind == 0) {
        const int error = tg_engine_remove_verdict(engine, 1, &address);
        if (error < 0 && error != -ENOENT)
            fail("remove_verdict: %s", strerror(-error));
        return;
    }
    verdict.action = kind == 1 ? TG_PUNT : kind == 2 ? TG_REFUSE : TG_RELAY;
    if (verdict.action == TG_RELAY) {
        verdict.endpoints = endpoints;
        verdict.endpoint_count = 1 + faults_random(3);
        verdict.max_connections = faults_random(3) ? 0 : 2;
        verdict.connect_timeout_ms = 5000;
        verdict.idle_timeout_ms = faults_random(10) ? 0 : 1;
    }
    int error = tg_engine_set_verdict(engine, 1, &address, &verdict);
    if (error == 0) {
        /* Others that nobody asks for, so that the table grows and its chains are walked. */
        const tg_address other = key((uint8_t)faults_random(200), (uint16_t)(1000 + faults_random(50)));
        error = faults_random(2) ? tg_engine_set_verdict(engine, 1, &other, &verdict)
                                 : tg_engine_remove_verdict(engine, 1, &other);
    }
    if (error < 0 && error != -ENOMEM && error != -ENOENT)
        fail("set_verdict: %s", strerror(-error));
}

static int open_front(void)
{
    const tg_listener options = {.scope = 1, .original = TG_ORIGINAL_SOCKOPT, .hairpin_from = -1};
    uint16_t port = 0;
    faults_spare(true);
    const int fd = listening(&port);
    faults_spare(false);
    int number;
    while ((number = tg_engine_listen(engine, fd, &options)) < 0)
        if (number != -ENOMEM && number != -ENOSPC)
            fail("listen: %s", strerror(-number));
    atomic_store(&front_port, port);
    return number;
}

static void *control(void *argument)
{
    int number = open_front();
    (void)argument;
    while (!atomic_load(&clients_stop)) {
        change_a_verdict();
        if (faults_random(500) == 0) {
            if (tg_engine_unlisten(engine, number, faults_random(4)) < 0)
                fail("unlisten");
            number = open_front();
        }
        usleep(100);
    }
    return NULL;
}

/* A punted connection is dropped, or relayed after all. */
static void take_punt(const tg_punt *punt)
{
    static uint64_t id;
    const struct sockaddr_in to = at(INADDR_LOOPBACK, site_ports[0]);
    uint64_t handle;
    atomic_fetch_add(&punted, 1);
    faults_spare(true);
    const int upstream = faults_random(2) ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (upstream >= 0 && connect(upstream, (const struct sockaddr *)&to, sizeof to) < 0)
        fail("connect: %s", strerror(errno));
    faults_spare(false);
    tg_relay_request request = {.downstream_fd = punt->fd, .upstream_fd = upstream, .punted = 1};
    if (upstream >= 0 && tg_engine_relay(engine, ++id, &request, &handle) == 0) {
        atomic_fetch_add(&given_back, 1);
        return;
    }
    if (upstream >= 0)
        close(upstream);
    reset(punt->fd);
    tg_engine_forget(engine);
}

static int collect(void)
{
    tg_punt punts[3];
    tg_record records[5];
    tg_completion completions[5];
    tg_counters counters[4];
    uint64_t cursor = 0;
    const int punt_count = tg_engine_punts(engine, punts, 3);
    for (int i = 0; i < punt_count; i++)
        take_punt(&punts[i]);
    const int record_count = tg_engine_records(engine, records, 5);
    atomic_fetch_add(&recorded, (uint64_t)record_count);
    static char lines[65536];
    uint64_t line_count;
    if (tg_engine_lines(engine, lines, sizeof lines, &line_count) < 0)
        fail("lines");
    atomic_fetch_add(&recorded, line_count);
    const int completion_count = tg_engine_completions(engine, completions, 5);
    atomic_fetch_add(&completed, (uint64_t)completion_count);
    while (tg_engine_connections(engine, &cursor, records, 5) > 0)
        continue;
    cursor = 0;
    for (int count; (count = tg_engine_counters(engine, &cursor, counters, 4)) > 0;)
        for (int i = 0; i < count; i++)
            if (counters[i].closed > counters[i].opened)
                fail("closed before it was opened");
    return punt_count + record_count + completion_count + (int)line_count;
}

static void *collect_all(void *argument)
{
    (void)argument;
    while (!atomic_load(&all_stop))
        if (collect() == 0)
            usleep(200);
    return NULL;
}

static void check_accounts(void)
{
    tg_totals totals;
    tg_counters counters[64];
    uint64_t cursor = 0, opened = 0;
    tg_engine_totals(engine, &totals);
    if (totals.outstanding != 0)
        fail("%llu places are still taken", (unsigned long long)totals.outstanding);
    if (totals.active != 0 || totals.completed != recorded + completed || completed != given_back)
        fail("active %llu, completed %llu; recorded %llu, relays %llu of %llu", (unsigned long long)totals.active,
             (unsigned long long)totals.completed, (unsigned long long)recorded, (unsigned long long)completed,
             (unsigned long long)given_back);
    const int count = tg_engine_counters(engine, &cursor, counters, 64);
    for (int i = 0; i < count; i++) {
        opened += counters[i].opened;
        if (counters[i].opened != counters[i].closed || counters[i].admitted != 0)
            fail("group %llu: opened %llu, closed %llu, admitted %llu", (unsigned long long)counters[i].group,
                 (unsigned long long)counters[i].opened, (unsigned long long)counters[i].closed,
                 (unsigned long long)counters[i].admitted);
    }
    printf("%llu accepted and kept, %llu of them connected, %llu punted, %llu pauses; clients: %llu whole, %llu "
           "broken; %llu faults\n",
           (unsigned long long)recorded, (unsigned long long)opened, (unsigned long long)punted,
           (unsigned long long)totals.accept_pauses, (unsigned long long)echoed, (unsigned long long)broken,
           (unsigned long long)faults_injected());
    if (echoed == 0)
        fail("no connection was whole");
}

int main(int count, char **arguments)
{
    pthread_t clients[CLIENTS], servers[SERVERS], controller, collector;
    if (count != 3)
        fail("usage: lane SECONDS FAULT_RATE");
    for (size_t i = 0; i < MESSAGE; i++)
        message[i] = (unsigned char)faults_random(256);
    for (int i = 0; i < SITES; i++)
        sites[i] = listening(&site_ports[i]);
    close(listening(&dead_port));
    const int before = open_descriptors();
    int error = tg_engine_new(WORKERS, 200, &engine);
    if (error < 0)
        fail("tg_engine_new: %s", strerror(-error));
    tg_engine_set_log(engine, TG_LOG_JSON);
    for (intptr_t i = 0; i < SERVERS; i++)
        pthread_create(&servers[i], NULL, serve, (void *)i);
    faults_set((unsigned)atoi(arguments[2]));
    pthread_create(&controller, NULL, control, NULL);
    pthread_create(&collector, NULL, collect_all, NULL);
    while (atomic_load(&front_port) == 0)
        usleep(1000);
    for (int i = 0; i < CLIENTS; i++)
        pthread_create(&clients[i], NULL, call, NULL);
    sleep((unsigned)atoi(arguments[1]));
    atomic_store(&clients_stop, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    pthread_join(controller, NULL);
    tg_totals totals;
    for (int i = 0; i < 2000; i++) {
        tg_engine_totals(engine, &totals);
        if (totals.active == 0)
            break;
        usleep(10000);
    }
    atomic_store(&all_stop, true);
    pthread_join(collector, NULL);
    while (collect() > 0)
        continue;
    for (int i = 0; i < SITES; i++)
        shutdown(sites[i], SHUT_RDWR);
    for (int i = 0; i < SERVERS; i++)
        pthread_join(servers[i], NULL);
    faults_set(0);
    check_accounts();
    tg_engine_free(engine);
    if (open_descriptors() != before)
        fail("%d descriptors before, %d after", before, open_descriptors());
    return 0;
}
