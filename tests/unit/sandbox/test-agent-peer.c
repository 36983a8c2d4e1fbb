#include "test-agent-peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/loop.h"
#include "sandbox/agent.h"
#include "wire/connection.h"

enum { STEP_MS = 10000 };

static void agent_closed(const struct error *reason, void *data)
{
    (void)reason;
    loop_quit(data, 0);
}

static _Noreturn void run_agent(int fd)
{
    static const struct agent_ops ops = {.closed = agent_closed};
    struct agent *agent = NULL;
    struct loop *loop = NULL;

    if (loop_new(&loop, NULL) < 0 || agent_new(loop, fd, true, false, &ops, loop, &agent, NULL) < 0)
        _exit(1);
    (void)loop_run(loop);
    agent_free(agent);
    loop_free(loop);
    _exit(0);
}

static void ignore_event(struct wire_connection *connection, const char *name, json_t *event,
                         void *data)
{
    (void)connection;
    (void)name;
    (void)event;
    (void)data;
}
static const struct wire_handler handler = {.event = ignore_event};

void agent_peer_step(struct wire_connection *connection)
{
    assert_int_equal(wire_connection_wait(connection, STEP_MS, NULL), 1);
}

struct wire_connection *agent_peer_open(pid_t *ret_agent)
{
    struct wire_connection *connection = NULL;
    int ends[2];

    assert_int_equal(fd_socketpair(SOCK_STREAM, ends), 0);
    *ret_agent = fork();
    if (*ret_agent == 0) {
        fd_close(ends[0]);
        run_agent(ends[1]);
    }
    fd_close(ends[1]);
    assert_int_equal(
        wire_connection_new(WIRE_CLIENT, "test", "the agent", &handler, NULL, &connection, NULL),
        0);
    assert_int_equal(wire_connection_attach(connection, ends[0], true, NULL, NULL), 0);
    while (!wire_connection_is_ready(connection))
        agent_peer_step(connection);
    return connection;
}

void agent_peer_close(struct wire_connection *connection, pid_t agent)
{
    int status = 0;

    wire_connection_free(connection);
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_int_equal(status, 0);
}
