/* Telling of an exchange that has ended. */
#ifndef TG_EXCHANGES_H
#define TG_EXCHANGES_H

#include "requests.h"
#include "tell/text.h"
#include "worker.h"

/* Texts as they came; bytes of any value. `service` ("namespace/name") and `route` are of configuration, and empty
 * where there is none: what is counted apart is told apart by them, by the scope and by the group, not by numbers that
 * a reload changes. Of the record, `size` and the lengths are not looked at. */
struct exchange_told {
    tg_exchange_record record;
    struct tg_text method;
    struct tg_text authority; /* of the target or of Host; may be empty */
    struct tg_text target;    /* as the request line has it */
    struct tg_text service;
    struct tg_text route;
};

/* Counts the exchange, and keeps a record of it while records are wanted. In the worker's own thread, once for each
 * exchange, at its end. Copies what it needs; never fails, never waits. */
void exchange_tell(struct tg_worker *worker, const struct exchange_told *told);

/* What the worker keeps for this; no thread may be using it. */
void exchanges_release(struct tg_worker *worker);

#endif
