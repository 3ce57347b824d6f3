#include "web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults.h"
#include "harness.h"

struct web web;

/* In pieces, so that heads and chunks are cut anywhere. */
bool send_all(int fd, const char *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        size_t piece = faults_random(4) ? size - sent : 1 + faults_random(40);
        if (piece > size - sent)
            piece = size - sent;
        const ssize_t now = send(fd, bytes + sent, piece, MSG_NOSIGNAL);
        if (now <= 0)
            return false;
        sent += (size_t)now;
    }
    return true;
}

bool hear(int fd, struct heard *heard)
{
    if (heard->used > 0) {
        memmove(heard->bytes, heard->bytes + heard->used, heard->length - heard->used);
        heard->length -= heard->used;
        heard->used = 0;
    }
    if (heard->length == ROOM)
        fail("more was said than anybody meant to");
    const ssize_t got = recv(fd, heard->bytes + heard->length, ROOM - heard->length, 0);
    if (got <= 0)
        return false;
    heard->length += (size_t)got;
    return true;
}

/* A head's end, counted from `used`; 0: the peer has ended before. */
size_t hear_head(int fd, struct heard *heard)
{
    for (;;) {
        const char *begin = heard->bytes + heard->used;
        const char *end = memmem(begin, heard->length - heard->used, "\r\n\r\n", 4);
        if (end != NULL)
            return (size_t)(end - begin) + 4;
        if (!hear(fd, heard))
            return 0;
    }
}

bool hear_length(int fd, struct heard *heard, size_t length)
{
    while (heard->length - heard->used < length)
        if (!hear(fd, heard))
            return false;
    return true;
}

unsigned long number_behind(const char *bytes, size_t length, const char *name)
{
    const char *found = memmem(bytes, length, name, strlen(name));
    return found == NULL ? 0 : strtoul(found + strlen(name), NULL, 10);
}

/* The body of every answer says the request's number, again and again. */
void write_body(char *out, size_t length, unsigned long number)
{
    char text[24];
    const size_t size = (size_t)snprintf(text, sizeof text, "%lu.", number);
    for (size_t i = 0; i < length; i++)
        out[i] = text[i % size];
}

static bool answer(int fd, unsigned long number, char *out)
{
    const size_t size = faults_random(3) ? faults_random(500) : faults_random(MOST_BODY);
    static __thread char body[MOST_BODY];
    size_t length = 0;
    write_body(body, size, number);
    if (faults_random(12) == 0)
        length += (size_t)sprintf(out, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    switch (faults_random(8)) {
    case 0: /* until close */
        length +=
            (size_t)sprintf(out + length, "HTTP/1.1 200 OK\r\nX-Number: %lu\r\nX-Size: %zu\r\n\r\n", number, size);
        memcpy(out + length, body, size);
        send_all(fd, out, length + size);
        return false;
    case 1:
        if (faults_random(3) == 0)
            reset(dup(fd));
        return false;
    case 2:
        send_all(fd, "HTTP/1.1 2", 10);
        return faults_random(2) != 0 && send_all(fd, "\0garbage\r\n\r\n", 12);
    case 3:
    case 4:
        length += (size_t)sprintf(
            out + length, "HTTP/1.1 200 OK\r\nX-Number: %lu\r\nX-Size: %zu\r\nTransfer-Encoding: chunked\r\n\r\n",
            number, size);
        for (size_t done = 0; done < size;) {
            size_t chunk = 1 + faults_random(20000);
            chunk = chunk < size - done ? chunk : size - done;
            length += (size_t)sprintf(out + length, "%zx;a=b\r\n", chunk);
            memcpy(out + length, body + done, chunk);
            length += chunk;
            done += chunk;
            length += (size_t)sprintf(out + length, "\r\n");
        }
        length += (size_t)sprintf(out + length, "0\r\nT: x\r\n\r\n");
        return send_all(fd, out, length);
    default:
        length += (size_t)sprintf(out + length,
                                  "HTTP/1.1 200 OK\r\nX-Number: %lu\r\nX-Size: %zu\r\nContent-Length: %zu\r\n\r\n",
                                  number, size, size);
        memcpy(out + length, body, size);
        return send_all(fd, out, length + size);
    }
}

void *web_serve(void *argument)
{
    struct heard heard = {.bytes = malloc(ROOM)};
    char *out = malloc(ROOM);
    (void)argument;
    faults_spare(true);
    while (!atomic_load(&web.stop)) {
        const int fd = accept4(web.site, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        heard.length = heard.used = 0;
        for (size_t head; (head = hear_head(fd, &heard)) > 0;) {
            const unsigned long number = number_behind(heard.bytes + heard.used, head, "GET /");
            const unsigned long posted = number_behind(heard.bytes + heard.used, head, "POST /");
            const unsigned long length = number_behind(heard.bytes + heard.used, head, "Content-Length: ");
            heard.used += head;
            if (!hear_length(fd, &heard, length))
                break;
            heard.used += length;
            if (!answer(fd, number + posted, out))
                break;
        }
        close(fd);
    }
    free(heard.bytes);
    free(out);
    return NULL;
}
