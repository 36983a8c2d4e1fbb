/* The QMP client against a QEMU that says anything: each command is completed exactly once, and
 * SHUTDOWN is seen at most once, and exactly once after the end. */
#include "vm/qmp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { COMMANDS = 3, PIECE = 7 };

struct seen {
    int done[COMMANDS];
    int shutdowns;
    struct qmp *qmp;
};

struct slot {
    struct seen *seen;
    int index;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(struct qmp *qmp, const char *name, const json_t *payload, void *data)
{
    struct seen *seen = data;

    if (qmp != seen->qmp || !json_is_object(payload))
        abort();
    seen->shutdowns += strcmp(name, "SHUTDOWN") == 0;
}

static void on_done(struct qmp *qmp, const json_t *result, const struct error *error, void *data)
{
    struct slot *slot = data;

    if (qmp != slot->seen->qmp || !result == !error)
        abort();
    slot->seen->done[slot->index]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {.shutdowns = 0};
    struct slot slots[COMMANDS];
    const struct qmp_events events = {.event = on_event, .data = &seen};

    if (qmp_new(-1, NULL, &events, &seen.qmp, NULL) < 0)
        return 0;
    for (int i = 0; i < COMMANDS; i++) {
        slots[i] = (struct slot){.seen = &seen, .index = i};
        if (qmp_command(seen.qmp, "query-status", NULL, on_done, &slots[i], NULL) < 0)
            abort();
    }
    for (size_t at = 0; at < size; at += PIECE)
        qmp_receive(seen.qmp, data + at, size - at < PIECE ? size - at : PIECE);
    for (int i = 0; i < COMMANDS; i++)
        if (seen.done[i] > 1 || (qmp_failure(seen.qmp) && seen.done[i] != 1))
            abort();
    if (seen.shutdowns > 1 || (qmp_failure(seen.qmp) && seen.shutdowns != 1))
        abort();
    qmp_free(seen.qmp);
    return 0;
}
