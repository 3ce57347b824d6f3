/* The packaged parser's states. Generated code: its warnings are its makers' to mend, so they are off here and nowhere
 * else. A unit of its own, because its prototypes differ from those of its api in the signedness of characters. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

#include "http/llhttp/llhttp.c"
