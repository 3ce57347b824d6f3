#include "base/put.h"

#include <arpa/inet.h>
#include <string.h>

char *put(char *at, const char *text)
{
    return stpcpy(at, text);
}

char *put_number(char *at, uint64_t value, int digits)
{
    char reversed[24];
    int count = 0;
    do
        reversed[count++] = (char)('0' + value % 10);
    while ((value /= 10) != 0 || count < digits);
    while (count > 0)
        *at++ = reversed[--count];
    return at;
}

char *put_milliseconds(char *at, uint64_t us)
{
    at = put_number(at, us / 1000, 1);
    *at++ = '.';
    return put_number(at, us % 1000, 3);
}

char *put_address(char *at, const tg_address *address)
{
    if (address->family == 6) {
        *at++ = '[';
        inet_ntop(AF_INET6, address->ip, at, INET6_ADDRSTRLEN);
        at += strlen(at);
        *at++ = ']';
    } else {
        for (int i = 0; i < 4; i++) {
            if (i > 0)
                *at++ = '.';
            at = put_number(at, address->ip[i], 1);
        }
    }
    *at++ = ':';
    return put_number(at, address->port, 1);
}

char *put_time(char *at, struct tg_dated *dated, uint64_t wall_us)
{
    const time_t second = (time_t)(wall_us / 1000000);
    if (second != dated->second || dated->date[0] == '\0') {
        struct tm parts;
        gmtime_r(&second, &parts);
        strftime(dated->date, sizeof dated->date, "%Y-%m-%dT%H:%M:%S", &parts);
        dated->second = second;
    }
    at = put(at, dated->date);
    *at++ = '.';
    at = put_number(at, wall_us / 1000 % 1000, 3);
    *at++ = 'Z';
    return at;
}

static bool is_printable(char byte)
{
    return byte >= ' ' && byte <= '~';
}

char *put_shown(char *at, const char *text, size_t length, bool json)
{
    static const char hex[] = "0123456789abcdef";
    bool quoted = json;
    if (length == 0) {
        text = "-";
        length = 1;
    }
    for (size_t i = 0; i < length && !quoted; i++)
        quoted = text[i] == ' ' || text[i] == '"' || text[i] == '=';
    if (quoted)
        *at++ = '"';
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (quoted && (byte == '"' || byte == '\\' || !is_printable(text[i])))
            *at++ = '\\';
        if (is_printable(text[i])) {
            *at++ = text[i];
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = hex[byte >> 4];
        *at++ = hex[byte & 15];
    }
    if (quoted)
        *at++ = '"';
    return at;
}
