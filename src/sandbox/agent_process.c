/* The agent's programs: from their start to their `exit` event. */
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "sandbox/agent_internal.h"
#include "sandbox/agent_proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct agent_process *agent_process_new(struct agent *agent, const char *exec)
{
    struct agent_process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->agent = agent;
    (void)string_copy(process->exec, sizeof(process->exec), exec);
    process->process = (struct process)PROCESS_INIT;
    process->source = (struct loop_source)LOOP_SOURCE_INIT;
    process->in =
        (struct agent_input){.process = process, .source = LOOP_SOURCE_INIT, .fd = -EBADF};
    process->out =
        (struct agent_output){.process = process, .source = LOOP_SOURCE_INIT, .fd = -EBADF};
    process->err = process->out;
    process->terminal = -EBADF;
    list_append(&agent->processes, &process->node);
    if (*exec)
        agent->n_execs++;
    return process;
}

struct agent_process *agent_process_free(struct agent_process *process)
{
    if (!process)
        return NULL;
    loop_remove(&process->source);
    agent_streams_abort(process);
    process_release(&process->process);
    list_remove(&process->node);
    if (*process->exec)
        process->agent->n_execs--;
    if (process->agent->first == process)
        process->agent->first = NULL;
    free(process);
    return NULL;
}

struct agent_process *agent_process_find(struct agent *agent, const char *exec)
{
    LIST_FOR_EACH (process, &agent->processes, struct agent_process, node) {
        if (string_equal(process->exec, exec))
            return process;
    }
    return NULL;
}

static void process_event(struct loop_source *source, uint32_t events)
{
    (void)events;
    agent_process_reap(source->data);
}

int agent_process_watch(struct agent_process *process, struct error *err)
{
    int r = loop_add(process->agent->loop, &process->source, process->process.pidfd, EPOLLIN,
                     process_event, process);

    return r < 0 ? error_set_errno(err, r, "watching the process") : 0;
}

static void send_exit(struct agent *agent, const struct agent_process *process, bool oom)
{
    json_t *event =
        json_pack("{s:s,s:i,s:i,s:b,s:I}", "exec", process->exec, "code", process->code, "signal",
                  process->signal, "oom", oom, "time", (json_int_t)timestamp_now());

    if (!event)
        return;
    if (process == agent->first) {
        (void)json_put(event, "trace", agent_report(agent));
        agent_report_damage(agent, event);
    }
    (void)wire_connection_event(agent->connection, "exit", event);
}

void agent_log(struct agent *agent, const char *message)
{
    json_t *event = json_object();

    if (json_put_string(event, "message", message) < 0)
        json_decref(event);
    else
        (void)wire_connection_event(agent->connection, "log", event);
}

static void container_gone(struct agent_process *process)
{
    struct agent *agent = process->agent;
    struct error error = ERROR_INIT;
    uint64_t kills = 0;

    loop_remove(&agent->drain_timer);
    agent->state = AGENT_EXITED;
    (void)sandbox_oom_kills(agent->sandbox, &kills);
    if (sandbox_destroy(agent->sandbox, &error) < 0)
        agent_log(agent, error.message);
    agent->sandbox = sandbox_free(agent->sandbox);
    send_exit(agent, process, kills > 0);
    agent_process_free(process);
}

/* Output of execs that nobody reads holds the container's exit no longer. */
static void drain_is_over(struct loop_source *source, uint32_t events)
{
    struct agent *agent = source->data;

    (void)events;
    loop_remove(source);
    LIST_FOR_EACH (process, &agent->processes, struct agent_process, node) {
        if (process == agent->first)
            continue;
        if (!process->ended) {
            /* It shared our pid namespace and did not end with the container: it is killed now. */
            (void)process_signal(&process->process, SIGKILL);
            process->signal = SIGKILL;
            process->code = 128 + SIGKILL;
        }
        send_exit(agent, process, false);
        agent_process_free(process);
    }
    if (agent->first)
        container_gone(agent->first);
}

void agent_process_settle(struct agent_process *process)
{
    struct agent *agent = process->agent;

    if (!process->ended || !agent_streams_done(process) || agent->closing)
        return;
    if (process != agent->first) {
        send_exit(agent, process, false);
        agent_process_free(process);
        process = agent->first;
        if (!process || !process->ended || !agent_streams_done(process))
            return;
    }
    if (agent->n_execs == 0 && agent_proxies_drained(agent)) {
        container_gone(process);
        return;
    }
    if (agent->drain_timer.loop)
        return;
    if (loop_add_timer(agent->loop, &agent->drain_timer, drain_is_over, agent) < 0 ||
        loop_timer_set(&agent->drain_timer, AGENT_EXEC_DRAIN_MS) < 0)
        drain_is_over(&agent->drain_timer, 0);
}

void agent_process_reap(struct agent_process *process)
{
    struct agent *agent = process->agent;
    siginfo_t info = {.si_pid = 0};

    if (process->ended)
        return;
    if (waitid(P_PIDFD, (id_t)process->process.pidfd, &info, WEXITED | WNOHANG) < 0) {
        /* Somebody else reaped it: its status is lost, its end is not. */
        info.si_code = CLD_EXITED;
        info.si_status = 255;
    } else if (info.si_pid == 0) {
        return;
    }
    bool killed = info.si_code != CLD_EXITED;
    process->ended = true;
    if (process == agent->first)
        trace_now(&agent->trace, TRACE_ENDED);
    process->signal = killed ? info.si_status : 0;
    process->code = killed ? 128 + info.si_status : info.si_status & 0xff;
    loop_remove(&process->source);
    agent_streams_drain(process);
    if (!agent_streams_done(process)) {
        json_t *event = json_pack("{s:s}", "exec", process->exec);

        if (event)
            (void)wire_connection_event(agent->connection, "ended", event);
    }
    agent_process_settle(process);
}
