/* An agent in a process of its own, and the connection to it. */
#ifndef HULL_TEST_AGENT_PEER_H
#define HULL_TEST_AGENT_PEER_H

#include <sys/types.h>

struct wire_connection;

/* Starts the agent and waits until both have said hello. Events of the agent's are ignored. */
struct wire_connection *agent_peer_open(pid_t *ret_agent);
/* Waits for what the agent says next, and handles it. */
void agent_peer_step(struct wire_connection *connection);
/* Frees the connection; the agent, which sees that, must end well. */
void agent_peer_close(struct wire_connection *connection, pid_t agent);

#endif
