/* A request that takes the connection over: attach and exec start (HTTP upgrade to "tcp"). */
#ifndef HULL_CLI_HIJACK_H
#define HULL_CLI_HIJACK_H

#include <jansson.h>

#include "base/buffer.h"

struct client;
struct error;

enum { HIJACK_EARLY_MAX = 64 * 1024 };

struct hijack {
    int fd;              /* owned; -EBADF when none */
    struct buffer early; /* stream bytes that came together with the head */
};

#define HIJACK_INIT                                          \
    {                                                        \
        .fd = -EBADF, .early = BUFFER_INIT(HIJACK_EARLY_MAX) \
    }

/* Sends `POST target` with an optional JSON body and reads the head. An answer other than 101 (or
 * 200, which older engines give) is an error as with client_perform(). */
int hijack_open(struct client *client, const char *target, const json_t *body, struct hijack *ret,
                struct error *err);
void hijack_release(struct hijack *hijack);

#endif
