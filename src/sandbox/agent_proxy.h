/* Sockets of the host in the VM. The agent listens in place of the host's server; each connection
 * is told to the worker (event `connect`), which connects to the host's socket and asks for the
 * connection's bytes (`proxy`). What a program writes meanwhile waits in its socket. */
#ifndef HULL_SANDBOX_AGENT_PROXY_H
#define HULL_SANDBOX_AGENT_PROXY_H

#include <jansson.h>
#include <stdbool.h>

struct agent;
struct error;

enum {
    AGENT_SOCKETS_MAX = 64,
    AGENT_PROXIES_MAX = 100, /* connections at once; others wait to be accepted */
};

/* Makes GUEST_SOCKETS_DIR/<index> for each of `sockets` of a request, [{"mode", "uid", "gid"}]. */
int agent_proxies_listen(struct agent *agent, const json_t *request, struct error *err);

/* `proxy`: `connection` of a `connect` event, `streams`: stdin is what the host's server says,
 * stdout what the program says; without them the connection is closed. */
int agent_op_proxy(struct agent *agent, json_t *request, json_t **ret, struct error *err);

/* Accepts what waits; has all been said that programs which have ended wrote? */
bool agent_proxies_drained(struct agent *agent);

void agent_proxies_free(struct agent *agent);

#endif
