/* The sockets that hulld listens on. */
#ifndef HULL_API_LISTEN_H
#define HULL_API_LISTEN_H

#include <stddef.h>

#include "api/server.h"

struct error;

struct listeners {
    int fds[SERVER_LISTENERS_MAX];
    size_t n;
    char **paths;    /* of unix sockets made here, removed by listeners_release() */
    char **warnings; /* what the user should know about an address */
};

#define LISTENERS_INIT \
    {                  \
        .n = 0         \
    }

/* Opens every address of `hosts`: "unix://PATH" (mode 0660, `group`; NULL: group "hull" if there is
 * one), "tcp://ADDRESS:PORT" (loopback only: there is no TLS, and who reaches the API is root; with
 * a warning), "fd://" (systemd's LISTEN_FDS, sd_listen_fds(3)). Without hosts: fd:// if systemd
 * passed sockets, else unix:// at `default_host`. ERROR_INVALID for an address that is none. */
int listeners_open(char *const *hosts, const char *default_host, const char *group,
                   struct listeners *ret, struct error *err);

void listeners_release(struct listeners *listeners);

/* sd_notify(3): sends `state` ("READY=1") to $NOTIFY_SOCKET; without it nothing. */
void listen_notify(const char *state);

#endif
