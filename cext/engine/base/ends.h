/* The two ends of a connection, as indices. */
#ifndef TG_ENDS_H
#define TG_ENDS_H

enum { DOWNSTREAM = 0, UPSTREAM = 1 };

#endif
