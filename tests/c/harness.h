/* What the harnesses have in common. */
#ifndef HARNESS_H
#define HARNESS_H

/* Says what is wrong and ends the process with 1. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);

/* How many descriptors this process has open. */
int open_descriptors(void);

/* Closes by RST. */
void reset(int fd);

#endif
