/* The management console's client against a User-Mode Linux that answers anything: each question is
 * answered exactly once. The input is datagrams, each after a byte with its length in units of 8.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "vm/mconsole.h"

enum { UNIT = 8, REQUEST_MAX = 1024, TIMEOUT_MS = 1 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answered(const struct error *error, void *data)
{
    for (const char *c = error ? error->message : ""; *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    ++*(int *)data;
}

/* Where the console listens; the client then reaches it by descriptor. */
static int listen_at(char path[32])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(path, 32, "/tmp/hull-fuzz-mconsole-%d", (int)getpid());
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    (void)unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        abort();
    return fd;
}

static void reply(int console, const uint8_t *data, size_t size)
{
    struct sockaddr_un peer;
    socklen_t length = sizeof(peer);
    char request[REQUEST_MAX];

    if (recvfrom(console, request, sizeof(request), 0, (struct sockaddr *)&peer, &length) < 0)
        return;
    while (size > 0) {
        size_t n = (size_t)data[0] * UNIT;

        data++;
        size--;
        if (n > size)
            n = size;
        (void)sendto(console, data, n, MSG_DONTWAIT, (struct sockaddr *)&peer, length);
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    struct mconsole *mconsole = NULL;
    struct loop *loop = NULL;
    int answers = 0;
    int console = listen_at(path);
    int name = open(path, O_PATH | O_CLOEXEC);
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

    /* Changing to its own network namespace takes root. */
    if (name < 0 || self < 0 || loop_new(&loop, NULL) < 0)
        abort();
    if (mconsole_new(name, self, loop, &mconsole, NULL) >= 0) {
        if (mconsole_ask(mconsole, "version", TIMEOUT_MS, answered, &answers, NULL) < 0)
            abort();
        reply(console, data, size);
        while (!answers)
            (void)loop_run_once(loop, -1);
        if (answers != 1)
            abort();
    }
    (void)mconsole_free(mconsole);
    (void)loop_free(loop);
    (void)close(name);
    (void)close(self);
    (void)close(console);
    (void)unlink(path);
    return 0;
}
