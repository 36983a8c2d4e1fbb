#include "compute/worker_proxy.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "compute/worker_internal.h"
#include "compute/worker_shares.h"
#include "sandbox/agent_proxy.h"
#include "wire/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    ASKED_MAX = 16, /* `proxy` requests without an answer: others want to ask, too */
    RETRY_MS = 20,  /* while the server's queue is full */
};

struct proxy {
    struct list node;
    struct worker *worker;
    int socket;
    int64_t serial;
    bool asked; /* the answer is to come */
    struct wire_relay *relay;
};

struct worker_proxies {
    struct list waiting;
    size_t n_waiting;
    struct list open;
    size_t n_open;
    size_t n_asked;
    int64_t last;
    struct loop_source timer;
    int noted[COMPUTE_SHARES_MAX]; /* what last went wrong with a socket: said once */
};

static void pump(struct worker *worker);

static struct worker_proxies *proxies_of(struct worker *worker)
{
    if (worker->proxies)
        return worker->proxies;
    struct worker_proxies *proxies = calloc(1, sizeof(*proxies));
    if (!proxies)
        return NULL;
    list_init(&proxies->waiting);
    list_init(&proxies->open);
    proxies->timer = (struct loop_source)LOOP_SOURCE_INIT;
    worker->proxies = proxies;
    return proxies;
}

/* --- one connection --- */

/* When nothing will ask for it any more. */
static void release(struct proxy *proxy)
{
    struct worker *worker = proxy->worker;

    if (proxy->asked || proxy->relay)
        return;
    list_remove(&proxy->node);
    worker->proxies->n_open--;
    free(proxy);
    pump(worker);
}

static void relay_over(struct wire_relay *relay, void *data)
{
    struct proxy *proxy = data;

    proxy->relay = wire_relay_free(relay);
    release(proxy);
}

static void answered(struct wire_connection *connection, json_t *ok, const struct error *error,
                     void *data)
{
    struct proxy *proxy = data;

    (void)ok;
    proxy->asked = false;
    proxy->worker->proxies->n_asked--;
    /* What was sent before the link went is still the server's. */
    if (error && error->code != -ECANCELED && wire_connection_is_ready(connection))
        proxy->relay = wire_relay_free(proxy->relay);
    release(proxy);
}

/* fd: -EBADF says that there is no connection. Consumes it. */
static int ask(struct proxy *proxy, int fd, struct error *err)
{
    CLEANUP_CLOSE int owned = fd;
    struct worker *worker = proxy->worker;
    uint32_t next = wire_connection_next_channel(worker->link);
    json_t *request = json_pack("{s:I}", "connection", (json_int_t)proxy->serial);

    if (fd >= 0 && json_put(request, "streams",
                            json_pack("{s:I,s:I}", "stdin", (json_int_t)next, "stdout",
                                      (json_int_t)next + 2)) < 0) {
        json_decref(request);
        return error_oom(err);
    }
    int r = wire_connection_request(worker->link, "proxy", request, answered, proxy, err);
    if (r < 0)
        return r;
    proxy->asked = true;
    worker->proxies->n_asked++;
    if (fd < 0)
        return 0;
    r = wire_relay_new(worker->loop, worker->link, fd, next + 2, next, relay_over, proxy,
                       &proxy->relay, err);
    if (r >= 0)
        (void)TAKE_FD(owned);
    return r;
}

static int connect_host(const struct worker *worker, int index)
{
    const char *name;
    int target = worker_shares_socket(worker, index, &name);

    return target < 0 ? target : worker_connect_socket(target, SOCK_STREAM);
}

static void note(struct worker *worker, int index, int code)
{
    const char *name = "?";

    if (worker->proxies->noted[index] == code)
        return;
    worker->proxies->noted[index] = code;
    (void)worker_shares_socket(worker, index, &name);
    worker_note(worker, "a connection of the container's to %s: %s", name,
                code == -EPROTOTYPE ? "it is no stream socket" : strerrordesc_np(-code));
}

/* --- those that wait --- */

static void try_again(struct loop_source *source, uint32_t events)
{
    (void)events;
    pump(source->data);
}

static void wait_a_while(struct worker *worker)
{
    struct loop_source *timer = &worker->proxies->timer;

    if (timer->loop || loop_add_timer(worker->loop, timer, try_again, worker) >= 0)
        (void)loop_timer_set(timer, RETRY_MS);
}

/* False: it waits on. */
static bool begin(struct worker *worker, struct proxy *proxy)
{
    struct worker_proxies *proxies = worker->proxies;
    struct error error = ERROR_INIT;
    int fd = connect_host(worker, proxy->socket);

    if (fd == -EAGAIN) {
        wait_a_while(worker);
        return false;
    }
    if (fd < 0)
        note(worker, proxy->socket, fd);
    list_remove(&proxy->node);
    proxies->n_waiting--;
    list_append(&proxies->open, &proxy->node);
    proxies->n_open++;
    int r = ask(proxy, fd, &error);
    if (r == -EBUSY) {
        list_remove(&proxy->node);
        proxies->n_open--;
        list_append(&proxies->waiting, &proxy->node);
        proxies->n_waiting++;
        wait_a_while(worker);
        return false;
    }
    if (r < 0) {
        worker_note(worker, "a connection of the container's is lost: %s", error.message);
        release(proxy);
    }
    return true;
}

static void pump(struct worker *worker)
{
    struct worker_proxies *proxies = worker->proxies;

    while (worker->link && wire_connection_is_ready(worker->link) &&
           !list_is_empty(&proxies->waiting) && proxies->n_open < AGENT_PROXIES_MAX &&
           proxies->n_asked < ASKED_MAX) {
        struct proxy *proxy = LIST_ENTRY(proxies->waiting.next, struct proxy, node);

        if (!begin(worker, proxy))
            return;
    }
}

void worker_proxy_connect(struct worker *worker, const json_t *event)
{
    struct worker_proxies *proxies = proxies_of(worker);
    struct proxy *proxy = proxies ? calloc(1, sizeof(*proxy)) : NULL;
    const char *name;
    int64_t serial = 0;
    int index = -1;

    if (!proxy) {
        wire_connection_violation(worker->link, "out of memory");
        return;
    }
    if (json_get_int(event, "socket", 0, COMPUTE_SHARES_MAX - 1, &index, NULL) != 1 ||
        json_need_i64(event, "connection", &serial, NULL) < 0 || serial <= proxies->last ||
        worker_shares_socket(worker, index, &name) < 0 || proxies->n_waiting >= AGENT_PROXIES_MAX) {
        free(proxy);
        wire_connection_violation(worker->link, "a wrong 'connect' event");
        return;
    }
    proxies->last = serial;
    *proxy = (struct proxy){.worker = worker, .socket = index, .serial = serial};
    list_append(&proxies->waiting, &proxy->node);
    proxies->n_waiting++;
    pump(worker);
}

/* --- the end --- */

void worker_proxies_close(struct worker *worker)
{
    struct worker_proxies *proxies = worker->proxies;

    if (!proxies)
        return;
    loop_remove(&proxies->timer);
    LIST_FOR_EACH (proxy, &proxies->waiting, struct proxy, node) {
        list_remove(&proxy->node);
        free(proxy);
    }
    proxies->n_waiting = 0;
}

bool worker_proxies_drained(const struct worker *worker)
{
    return !worker->proxies || worker->proxies->n_open == 0;
}

void worker_proxies_free(struct worker *worker)
{
    struct worker_proxies *proxies = worker->proxies;

    if (!proxies)
        return;
    worker_proxies_close(worker);
    worker->proxies = NULL;
    LIST_FOR_EACH (open, &proxies->open, struct proxy, node) {
        wire_relay_free(open->relay);
        free(open);
    }
    free(proxies);
}
