/* hull-init: pid 1 of the utility VM and the agent in it.
 *
 * Rules for a pid 1: signals are blocked before anything else; every child is reaped; each mount is
 * checked; after the start it never returns and never exits, because the kernel panics then. What
 * goes wrong is said on the console, which the host keeps, and ends in an orderly power-off. So
 * does the loss of the link: without a worker nobody needs this VM. */
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/timestamp.h"
#include "sandbox/agent.h"
#include "sandbox/guest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct init {
    struct loop *loop;
    struct agent *agent;
    int64_t born;
};

static void on_shutdown(void *data)
{
    struct init *init = data;

    /* The answer is still queued; the worker does not wait for it but for the VM's end. */
    loop_quit(init->loop, 0);
}

static void on_closed(const struct error *reason, void *data)
{
    struct init *init = data;

    log_error("%s", reason->message);
    loop_quit(init->loop, 0);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
    struct init *init = source->data;
    struct signalfd_siginfo info;

    (void)events;
    while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        ;
    agent_reap(init->agent);
}

static const struct agent_ops ops = {
    .prepare = guest_prepare,
    .prepare_layer = guest_prepare_layer,
    .damage = guest_damage,
    .shutdown = on_shutdown,
    .closed = on_closed,
};

static int serve(struct init *init, struct error *err)
{
    struct loop_source signals = LOOP_SOURCE_INIT;
    sigset_t children;
    int r;

    if ((r = guest_load_modules("/modules", err)) < 0 || (r = guest_switch_root(err)) < 0 ||
        (r = guest_mount(err)) < 0 || (r = loop_new(&init->loop, err)) < 0)
        return r;
    (void)sigemptyset(&children);
    (void)sigaddset(&children, SIGCHLD);
    r = loop_add_signals(init->loop, &signals, &children, on_signal, init);
    if (r < 0)
        return error_set_errno(err, r, "watching for signals");
    int link = guest_open_link(err);
    if (link < 0)
        return link;
    if ((r = guest_hold(link, err)) < 0)
        return r;
    r = agent_new(init->loop, link, true, true, &ops, init, &init->agent, err);
    if (r < 0)
        return r;
    agent_mark(init->agent, TRACE_KERNEL, init->born);
    agent_mark(init->agent, TRACE_INIT, timestamp_monotonic());
    r = loop_run(init->loop);
    return r < 0 ? error_set_errno(err, r, "the event loop") : 0;
}

int main(void)
{
    struct init init = {.born = timestamp_monotonic()};
    struct error error = ERROR_INIT;
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    if (getpid() != 1) {
        log_open("hull-init", LOG_LEVEL_INFO);
        log_error("this program is pid 1 of hull's utility VM and nothing else");
        return EXIT_FAILURE;
    }
    log_open("hull-init", LOG_LEVEL_INFO);
    (void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    if (serve(&init, &error) < 0)
        log_error("%s", error.message);
    init.agent = agent_free(init.agent);
    guest_power_off();
}
