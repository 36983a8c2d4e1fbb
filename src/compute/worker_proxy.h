/* Sockets of the host that programs in a utility VM connect to: the worker's half (the guest's:
 * sandbox/agent_proxy.h). The host's server sees hull-worker as its peer (SO_PEERCRED), and no
 * descriptors: bytes are all that passes.
 *
 * Theory of operation. A `connect` event waits until the host's server takes the connection and the
 * agent has few enough requests to answer; then the two are relayed. All numbers are bounded: what
 * waits by what the agent may have at once, what is relayed by AGENT_PROXIES_MAX and each relay by
 * its window. A relay whose guest has gone lives until the server has read what was sent. */
#ifndef HULL_COMPUTE_WORKER_PROXY_H
#define HULL_COMPUTE_WORKER_PROXY_H

#include <jansson.h>
#include <stdbool.h>

struct worker;

/* Handles an event `connect`: `socket`: index, `connection`: a number that the agent chose. What is
 * wrong with it ends the link. */
void worker_proxy_connect(struct worker *worker, const json_t *event);
/* Before the link is freed: what waits is given up. */
void worker_proxies_close(struct worker *worker);
/* Has the host read all that was sent? */
bool worker_proxies_drained(const struct worker *worker);
void worker_proxies_free(struct worker *worker);

#endif
