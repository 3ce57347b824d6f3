#include "upstream/stand_in.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"

/* The client's own connections to the workload end in this namespace, too. Two with the same ends would be one for the
 * kernel. So the ports are those from which few programs call: below the usual range of local ports. */
enum { FIRST_PORT = 10000, PORTS = 22768 };

static bool option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

bool stand_in_suits(int fd, const tg_address *original)
{
    const bool v4 = original->family == 4;
    struct sockaddr_storage local = {0};
    socklen_t size = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &size) < 0)
        return false;
    const tg_address own = address_from(&local);
    int value = 0;
    size = sizeof value;
    return address_equal(&own, original) &&
           getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, &value, &size) == 0 &&
           value != 0;
}

static void set_end(__be32 *out, const tg_address *address)
{
    struct sockaddr_storage storage;
    (void)address_to(address, &storage);
    if (address->family == 4)
        memcpy(out, &((struct sockaddr_in *)&storage)->sin_addr, 4);
    else
        memcpy(out, &((struct sockaddr_in6 *)&storage)->sin6_addr, 16);
}

static bool ask(int diag, const tg_address *local, const tg_address *remote)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } question = {
        .header = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = local->family == 4 ? AF_INET : AF_INET6,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = ~0U},
    };
    union {
        struct nlmsghdr header;
        char bytes[1024];
    } answer;
    struct inet_diag_sockid *id = &question.request.id;
    id->idiag_sport = htons(local->port);
    id->idiag_dport = htons(remote->port);
    set_end(id->idiag_src, local);
    set_end(id->idiag_dst, remote);
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(diag, &question, sizeof question, 0) != (ssize_t)sizeof question)
        return false;
    const ssize_t size = recv(diag, &answer, sizeof answer, 0);
    if (size < (ssize_t)(NLMSG_HDRLEN + sizeof(struct inet_diag_msg)) ||
        answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return false;
    /* Where there is no connection the kernel tells of the listener. */
    const struct inet_diag_msg *found = NLMSG_DATA(&answer.header);
    return found->idiag_state != TCP_LISTEN && found->id.idiag_dport == id->idiag_dport;
}

/* Whether a socket here has these ends. Where the kernel cannot be asked (no tcp_diag): no. */
static bool is_taken(const tg_address *local, const tg_address *remote)
{
    const int diag = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    const struct timeval soon = {.tv_usec = 100000};
    if (diag < 0)
        return false;
    (void)setsockopt(diag, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    const bool taken = ask(diag, local, remote);
    close(diag);
    return taken;
}

/* A client's next connection gets the next port. Where a thread begins is left to chance. */
static uint16_t next_port(void)
{
    static _Thread_local uint32_t turn;
    if (turn == 0)
        turn = (uint32_t)clock_us() | 1;
    turn++;
    return (uint16_t)(FIRST_PORT + turn % PORTS);
}

int stand_in_bind(int fd, const tg_address *client, const tg_address *to)
{
    tg_address own = *client;
    struct sockaddr_storage from;
    const bool v4 = client->family == 4;
    if (client->family != to->family)
        return -EAFNOSUPPORT;
    if (!option(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1))
        return -errno;
    /* The port may be in TIME_WAIT, or serve a connection to another port of the workload. */
    if (!option(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        return -errno;
    for (int i = 0; i < STAND_IN_TRIES; i++) {
        own.port = next_port();
        if (own.port == client->port || is_taken(to, &own))
            continue;
        const socklen_t size = address_to(&own, &from);
        if (bind(fd, (struct sockaddr *)&from, size) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return -errno;
    }
    return -EADDRNOTAVAIL;
}

int tg_stand_in(int accepted, const tg_address *original, int upstream, const tg_address *client, const tg_address *to)
{
    if (!stand_in_suits(accepted, original))
        return 0;
    const int error = stand_in_bind(upstream, client, to);
    return error < 0 ? error : 1;
}
