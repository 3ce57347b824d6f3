#include "http/head_line.h"

#include <stdlib.h>
#include <string.h>

struct tg_buffer *head_with_line(const char *bytes, size_t length, const char *line, size_t line_length)
{
    const size_t empty_line = length >= 2 && bytes[length - 2] == '\r' ? 2 : 1;
    struct tg_buffer *edited = malloc(sizeof *edited + length + line_length);
    if (edited == NULL)
        return NULL;
    *edited = (struct tg_buffer){.size = length + line_length, .end = length + line_length};
    memcpy(edited->data, bytes, length - empty_line);
    memcpy(edited->data + length - empty_line, line, line_length);
    memcpy(edited->data + length - empty_line + line_length, bytes + length - empty_line, empty_line);
    return edited;
}
