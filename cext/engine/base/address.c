#include "base/address.h"

#include <netinet/in.h>
#include <string.h>

tg_address address_from(const struct sockaddr_storage *from)
{
    tg_address address = {0};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        memcpy(address.ip, &v4->sin_addr, 4);
        address.port = ntohs(v4->sin_port);
        address.family = 4;
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        if (mapped)
            memcpy(address.ip, v6->sin6_addr.s6_addr + 12, 4);
        else
            memcpy(address.ip, &v6->sin6_addr, 16);
        address.port = ntohs(v6->sin6_port);
        address.zone = mapped ? 0 : v6->sin6_scope_id;
        address.family = mapped ? 4 : 6;
    }
    return address;
}

socklen_t address_to(const tg_address *address, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->ip, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    v6->sin6_scope_id = address->zone;
    memcpy(&v6->sin6_addr, address->ip, 16);
    return sizeof *v6;
}

bool address_equal(const tg_address *one, const tg_address *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

uint64_t address_hash(const tg_address *address, uint64_t seed)
{
    uint64_t words[3];
    _Static_assert(sizeof words == sizeof *address, "every byte of an address is hashed");
    memcpy(words, address, sizeof words);
    for (int i = 0; i < 3; i++) {
        seed = (seed ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        seed ^= seed >> 32;
    }
    return seed;
}
