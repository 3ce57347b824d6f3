/* System calls of the engine that fail now and then, linked in by -Wl,--wrap (scripts/sanitize). Only failures that the
 * kernel may give at any time and that must cost nobody a byte; EAGAIN is not among them, since with edge-triggered
 * epoll a false one is a lie. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdbool.h>
#include <stdint.h>

/* How many of 65,536 calls fail; 0: none. Any thread. */
void faults_set(unsigned rate);
uint64_t faults_injected(void);
/* Spares the calling thread, for what the harness does itself. */
void faults_spare(bool spared);
uint32_t faults_random(uint32_t below); /* of the calling thread */

#endif
