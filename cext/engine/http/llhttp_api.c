/* The packaged parser's interface; see llhttp_states.c. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#include "http/llhttp/api.c"
#include "http/llhttp/http.c"
