#include "http/cookie.h"

#include <string.h>
#include <strings.h>

static bool find_in(const char *bytes, struct span line, const char *name, uint32_t length, struct span *value)
{
    const uint32_t end = line.at + line.length;
    for (uint32_t at = line.at, stop; at < end; at = stop + 1) {
        while (at < end && (bytes[at] == ' ' || bytes[at] == '\t'))
            at++;
        const char *mark = memchr(bytes + at, ';', end - at);
        stop = mark == NULL ? end : (uint32_t)(mark - bytes);
        uint32_t last = stop;
        while (last > at && (bytes[last - 1] == ' ' || bytes[last - 1] == '\t'))
            last--;
        if (last - at > length && bytes[at + length] == '=' && memcmp(bytes + at, name, length) == 0) {
            *value = (struct span){at + length + 1, last - at - length - 1};
            return true;
        }
    }
    return false;
}

bool cookie_find(const struct http_head *head, const char *bytes, const char *name, uint32_t length, struct span *value)
{
    for (uint32_t i = 0; i < head->headers; i++) {
        const struct header *header = &head->header[i];
        if (header->name.length == 6 && strncasecmp(bytes + header->name.at, "cookie", 6) == 0 &&
            find_in(bytes, header->value, name, length, value))
            return true;
    }
    return false;
}
