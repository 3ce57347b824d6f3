#include "decide/original.h"

#include <netinet/in.h>

#include "base/address.h"

enum { ORIGINAL_DST = 80 }; /* SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST alike */

static bool by_sockopt(int fd, bool v4, tg_address *original)
{
    struct sockaddr_storage answer = {0};
    socklen_t size = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, ORIGINAL_DST, &answer, &size) < 0)
        return false;
    *original = address_from(&answer);
    return original->family != 0 && original->port != 0;
}

static bool by_sockname(int fd, tg_address *own)
{
    struct sockaddr_storage answer = {0};
    socklen_t size = sizeof answer;
    if (getsockname(fd, (struct sockaddr *)&answer, &size) < 0)
        return false;
    *own = address_from(&answer);
    return own->family != 0;
}

int original_destination(int fd, const tg_address *peer, enum tg_original how, uint16_t own_port, tg_address *original)
{
    tg_address own;
    if (how != TG_ORIGINAL_SOCKNAME && by_sockopt(fd, peer->family == 4, original)) {
        /* conntrack answers for connections without NAT, too: those were dialled to the listener itself. */
        if (original->port == own_port && by_sockname(fd, &own) && address_equal(original, &own))
            return TG_DIRECT_DIAL;
        return 0;
    }
    if (how == TG_ORIGINAL_SOCKOPT || !by_sockname(fd, &own))
        return TG_NO_DESTINATION;
    if (own.port == own_port)
        return how == TG_ORIGINAL_SOCKNAME ? TG_DIRECT_DIAL : TG_NO_DESTINATION;
    *original = own;
    return 0;
}
