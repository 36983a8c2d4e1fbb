#include "sandbox/agent_proxy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "sandbox/agent_internal.h"
#include "sandbox/guest_shares.h"
#include "wire/relay.h"

struct agent_socket {
    struct agent_proxies *proxies;
    struct loop_source source;
    int fd;
};

struct agent_proxies {
    struct agent *agent;
    struct agent_socket sockets[AGENT_SOCKETS_MAX];
    size_t n_sockets;
    struct list list; /* of struct proxy */
    size_t n;
    int64_t last;
};

struct proxy {
    struct list node;
    struct agent_proxies *proxies;
    int64_t serial;
    int fd; /* until it is relayed */
    struct wire_relay *relay;
};

/* --- one connection --- */

static void watch_sockets(struct agent_proxies *proxies);

static void proxy_free(struct proxy *proxy)
{
    list_remove(&proxy->node);
    proxy->proxies->n--;
    wire_relay_free(proxy->relay);
    fd_close(proxy->fd);
    free(proxy);
}

static void proxy_over(struct wire_relay *relay, void *data)
{
    struct proxy *proxy = data;
    struct agent_proxies *proxies = proxy->proxies;
    struct agent *agent = proxies->agent;

    (void)relay;
    proxy_free(proxy);
    watch_sockets(proxies);
    if (agent->first)
        agent_process_settle(agent->first);
}

static void tell(struct agent_socket *socket, int fd)
{
    struct agent_proxies *proxies = socket->proxies;
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    json_t *event = NULL;

    if (proxy)
        event = json_pack("{s:i,s:I}", "socket", (int)(socket - proxies->sockets), "connection",
                          (json_int_t)proxies->last + 1);
    if (!event || wire_connection_event(proxies->agent->connection, "connect", event) < 0) {
        free(proxy);
        fd_close(fd);
        return;
    }
    *proxy = (struct proxy){.proxies = proxies, .serial = ++proxies->last, .fd = fd};
    list_append(&proxies->list, &proxy->node);
    proxies->n++;
}

static void accept_all(struct agent_socket *socket)
{
    while (socket->proxies->n < AGENT_PROXIES_MAX) {
        int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        tell(socket, fd);
    }
}

/* --- the sockets --- */

static void socket_event(struct loop_source *source, uint32_t events)
{
    struct agent_socket *socket = source->data;

    (void)events;
    accept_all(socket);
    watch_sockets(socket->proxies);
}

/* Those who connect while there are too many wait as they would for a busy server. */
static void watch_sockets(struct agent_proxies *proxies)
{
    bool room = proxies->n < AGENT_PROXIES_MAX;

    for (size_t i = 0; i < proxies->n_sockets; i++) {
        struct agent_socket *socket = &proxies->sockets[i];

        if (!room)
            loop_remove(&socket->source);
        else if (!socket->source.loop)
            (void)loop_add(proxies->agent->loop, &socket->source, socket->fd, EPOLLIN, socket_event,
                           socket);
    }
}

static int listen_one(struct agent_proxies *proxies, const json_t *json, struct error *err)
{
    struct agent_socket *socket = &proxies->sockets[proxies->n_sockets];
    char path[sizeof(GUEST_SOCKETS_DIR) + 24];
    int64_t uid = 0;
    int64_t gid = 0;
    int mode = 0;
    int r;

    if ((r = json_get_int(json, "mode", 0, 07777, &mode, err)) < 0 ||
        (r = json_get_i64(json, "uid", &uid, err)) < 0 ||
        (r = json_get_i64(json, "gid", &gid, err)) < 0)
        return r;
    (void)snprintf(path, sizeof(path), GUEST_SOCKETS_DIR "/%zu", proxies->n_sockets);
    r = fd_listen_unix(path, (mode_t)mode, err);
    if (r < 0)
        return r;
    *socket = (struct agent_socket){.proxies = proxies, .source = LOOP_SOURCE_INIT, .fd = r};
    proxies->n_sockets++;
    if (chown(path, (uid_t)uid, (gid_t)gid) < 0 || fd_set_nonblocking(socket->fd, true) < 0)
        return error_set_errno(err, -errno, "giving %s its owner", path);
    return 0;
}

int agent_proxies_listen(struct agent *agent, const json_t *request, struct error *err)
{
    json_t *sockets = NULL;
    json_t *socket;
    size_t i;
    int r = json_get_array(request, "sockets", &sockets, err);

    if (r <= 0 || json_array_size(sockets) == 0)
        return r < 0 ? r : 0;
    if (json_array_size(sockets) > AGENT_SOCKETS_MAX)
        return error_set_class(err, ERROR_INVALID, "more than %d sockets", AGENT_SOCKETS_MAX);
    agent_proxies_free(agent);
    agent->proxies = calloc(1, sizeof(*agent->proxies));
    if (!agent->proxies)
        return error_oom(err);
    agent->proxies->agent = agent;
    list_init(&agent->proxies->list);
    r = path_make_dirs(GUEST_SOCKETS_DIR, 0700, err);
    json_array_foreach (sockets, i, socket) {
        if (r >= 0)
            r = listen_one(agent->proxies, socket, err);
    }
    if (r < 0) {
        agent_proxies_free(agent);
        return r;
    }
    watch_sockets(agent->proxies);
    return 0;
}

/* --- the worker's side --- */

static struct proxy *find(const struct agent *agent, int64_t serial)
{
    if (!agent->proxies)
        return NULL;
    LIST_FOR_EACH (proxy, &agent->proxies->list, struct proxy, node) {
        if (proxy->serial == serial && !proxy->relay)
            return proxy;
    }
    return NULL;
}

static int relay(struct agent *agent, struct proxy *proxy, const struct agent_streams *streams,
                 struct error *err)
{
    int r = -ECANCELED; /* the host's socket takes no connections: not an error of this request */

    if (streams->in && streams->out) {
        r = wire_relay_new(agent->loop, agent->connection, proxy->fd, streams->in, streams->out,
                           proxy_over, proxy, &proxy->relay, err);
        if (r == 0)
            proxy->fd = -EBADF;
    }
    if (r < 0)
        proxy_over(NULL, proxy);
    return r == -ECANCELED ? 0 : r;
}

int agent_op_proxy(struct agent *agent, json_t *request, json_t **ret, struct error *err)
{
    struct agent_streams streams = {0};
    int64_t serial = 0;
    int r;

    (void)ret;
    if ((r = json_need_i64(request, "connection", &serial, err)) < 0 ||
        (r = agent_streams_from_json(request, false, &streams, err)) < 0)
        return r;
    struct proxy *proxy = find(agent, serial);
    if (!proxy)
        return error_set_class(err, ERROR_NOT_FOUND, "there is no connection %lld",
                               (long long)serial);
    return relay(agent, proxy, &streams, err);
}

bool agent_proxies_drained(struct agent *agent)
{
    struct agent_proxies *proxies = agent->proxies;

    for (size_t i = 0; proxies && i < proxies->n_sockets; i++)
        accept_all(&proxies->sockets[i]);
    return !proxies || proxies->n == 0;
}

void agent_proxies_free(struct agent *agent)
{
    struct agent_proxies *proxies = agent->proxies;

    agent->proxies = NULL;
    if (!proxies)
        return;
    LIST_FOR_EACH (proxy, &proxies->list, struct proxy, node)
        proxy_free(proxy);
    for (size_t i = 0; i < proxies->n_sockets; i++) {
        loop_remove(&proxies->sockets[i].source);
        fd_close(proxies->sockets[i].fd);
    }
    free(proxies);
}
