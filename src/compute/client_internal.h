/* The inside of a client, shared by client.c, client_pump.c and archive.c. */
#ifndef HULL_COMPUTE_CLIENT_INTERNAL_H
#define HULL_COMPUTE_CLIENT_INTERNAL_H

#include "base/error.h"
#include "compute/client.h"
#include "compute/detach.h"
#include "sandbox/agent.h"
#include "wire/connection.h"
#include "wire/queue.h"

enum { CLIENT_OUTPUTS = 2 }; /* stdout, stderr */

struct client_output {
    struct compute_client *client;
    struct wire_channel *channel;
    size_t owed; /* bytes received for which no credit was given back */
};

struct compute_client {
    struct wire_connection *connection;
    json_t *events; /* array: what came and was not taken */

    /* the one call that is under way */
    bool answered;
    json_t *answer;
    struct error failure;

    /* the exec that this connection started */
    char exec_id[AGENT_EXEC_ID_MAX + 1]; /* "": none */
    bool exec_over;
    compute_exit_handler *on_exit;
    void *on_exit_data;

    /* streams */
    bool terminal;
    bool has_outputs;
    struct detach_keys keys;
    struct wire_channel *input;
    struct client_output outputs[CLIENT_OUTPUTS];
    struct wire_queue output; /* on its way to the hijacked connection; at most two windows */
    bool multiplexed;
};

/* The two halves of compute_client_call(), in client.c. */
int client_begin_call(struct compute_client *client, const char *op, json_t *arguments,
                      struct error *err);
int client_end_call(struct compute_client *client, const char *op, json_t **ret, struct error *err);

/* Handlers of the streams, in client_pump.c. */
extern const struct wire_channel_handler client_input_handler;
extern const struct wire_channel_handler client_output_handler;

#endif
