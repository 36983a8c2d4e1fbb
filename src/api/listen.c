#include "api/listen.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LISTEN_FD_FIRST = 3, /* SD_LISTEN_FDS_START */
    LISTEN_BACKLOG = 4096,
    LISTEN_SOCKET_MODE = 0660,
    LISTEN_FOLDER_MODE = 0755,
};
#define LISTEN_GROUP "hull"

void listeners_release(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n; i++)
        fd_close(listeners->fds[i]);
    for (size_t i = 0; i < strv_length(listeners->paths); i++)
        unlink(listeners->paths[i]);
    strv_free(listeners->paths);
    strv_free(listeners->warnings);
    *listeners = (struct listeners)LISTENERS_INIT;
}

static int add_fd(struct listeners *listeners, int fd, struct error *err)
{
    if (listeners->n >= SERVER_LISTENERS_MAX) {
        fd_close(fd);
        return error_set_class(err, ERROR_INVALID, "more than %d addresses to listen on",
                               SERVER_LISTENERS_MAX);
    }
    listeners->fds[listeners->n++] = fd;
    return 0;
}

/* A group that was named must exist; the usual one need not. */
static int set_group(const char *path, const char *name, struct error *err)
{
    const struct group *group = getgrnam(name ? name : LISTEN_GROUP);

    if (!group && !name)
        return 0;
    if (!group)
        return error_set_class(err, ERROR_INVALID, "group %s not found", name);
    if (lchown(path, (uid_t)-1, group->gr_gid) < 0)
        return error_set_errno(err, -errno, "cannot give %s to group %s", path,
                               name ? name : LISTEN_GROUP);
    return 0;
}

static int open_unix(struct listeners *listeners, const char *path, const char *group,
                     struct error *err)
{
    CLEANUP_FREE char *copy = strdup(path);
    CLEANUP_CLOSE int fd = -EBADF;
    int r = 0;

    if (!copy)
        return error_oom(err);
    if (!path_is_absolute(path))
        return error_set_class(err, ERROR_INVALID, "unix://%s: the path must be absolute", path);
    r = path_make_dirs(dirname(copy), LISTEN_FOLDER_MODE, err);
    if (r < 0)
        return r;
    fd = fd_listen_unix(path, LISTEN_SOCKET_MODE, err);
    if (fd < 0)
        return error_wrap(err, fd, "can't create unix socket %s", path);
    if (strv_append(&listeners->paths, path) < 0)
        return error_oom(err);
    r = set_group(path, group, err);
    return r < 0 ? r : add_fd(listeners, TAKE_FD(fd), err);
}

static int parse_tcp(const char *text, struct sockaddr_in *ret, struct error *err)
{
    CLEANUP_FREE char *host = strdup(text);
    char *colon = host ? strrchr(host, ':') : NULL;
    int port = 0;

    if (!host)
        return error_oom(err);
    if (colon)
        *colon = '\0';
    if (string_equal(host, "localhost") && string_replace(&host, "127.0.0.1") < 0)
        return error_oom(err);
    colon = colon ? strchr(text, ':') : NULL;
    if (!colon || string_to_int(colon + 1, 0, UINT16_MAX, &port) < 0 ||
        inet_pton(AF_INET, host, &ret->sin_addr) != 1)
        return error_set_class(err, ERROR_INVALID,
                               "invalid address tcp://%s: it must be tcp://127.0.0.1:PORT", text);
    ret->sin_family = AF_INET;
    ret->sin_port = htons((uint16_t)port);
    if (ntohl(ret->sin_addr.s_addr) >> 24 != 127)
        return error_set_class(err, ERROR_INVALID,
                               "tcp://%s would give root to everybody who can reach it: only "
                               "loopback addresses (127.0.0.1) are allowed without TLS",
                               text);
    return 0;
}

static int open_tcp(struct listeners *listeners, const char *text, struct error *err)
{
    CLEANUP_CLOSE int fd = -EBADF;
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int on = 1;
    int r = parse_tcp(text, &address, err);

    if (r < 0)
        return r;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, LISTEN_BACKLOG) < 0)
        return error_set_errno(err, -errno, "cannot listen on tcp://%s", text);
    if (strv_appendf(&listeners->warnings,
                     "binding to tcp://%s without TLS: every user and program of this machine that "
                     "can reach it has root access",
                     text) < 0)
        return error_oom(err);
    return add_fd(listeners, TAKE_FD(fd), err);
}

/* Number of sockets that systemd passed to this process. */
static int passed_fds(void)
{
    uint64_t pid = 0;
    int n = 0;

    if (!getenv("LISTEN_PID") || string_to_u64(getenv("LISTEN_PID"), &pid) < 0 ||
        pid != (uint64_t)getpid() || !getenv("LISTEN_FDS") ||
        string_to_int(getenv("LISTEN_FDS"), 0, SERVER_LISTENERS_MAX, &n) < 0)
        return 0;
    return n;
}

static int open_passed(struct listeners *listeners, struct error *err)
{
    int n = passed_fds();

    if (n == 0)
        return error_set_class(err, ERROR_INVALID,
                               "no sockets found via socket activation: make sure the service was "
                               "started by systemd");
    for (int i = 0; i < n; i++) {
        int fd = LISTEN_FD_FIRST + i;
        int listening = 0;
        socklen_t size = sizeof(listening);
        int r = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0 || !listening)
            return error_set_class(err, ERROR_INVALID,
                                   "fd://: descriptor %d is no listening socket", fd);
        r = fd_set_cloexec(fd, true);
        if (r == 0)
            r = add_fd(listeners, fd, err);
        if (r < 0)
            return r;
    }
    /* A program that we start must not take them for its own. */
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return 0;
}

static int open_host(struct listeners *listeners, const char *host, const char *default_host,
                     const char *group, struct error *err)
{
    if (string_equal(host, "unix://"))
        host = default_host;
    if (string_starts_with(host, "unix://"))
        return open_unix(listeners, host + strlen("unix://"), group, err);
    if (string_starts_with(host, "tcp://"))
        return open_tcp(listeners, host + strlen("tcp://"), err);
    if (string_starts_with(host, "fd://"))
        return open_passed(listeners, err);
    return error_set_class(err, ERROR_INVALID,
                           "invalid address %s: it must begin with unix://, tcp:// or fd://", host);
}

int listeners_open(char *const *hosts, const char *default_host, const char *group,
                   struct listeners *ret, struct error *err)
{
    CLEANUP(listeners_release) struct listeners listeners = LISTENERS_INIT;
    size_t n = strv_length(hosts);
    int r = 0;

    if (n == 0)
        r = passed_fds() > 0 ? open_passed(&listeners, err)
                             : open_host(&listeners, default_host, default_host, group, err);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = open_host(&listeners, hosts[i], default_host, group, err);
    if (r < 0)
        return r;
    *ret = listeners;
    listeners = (struct listeners)LISTENERS_INIT;
    return 0;
}

void listen_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path ? strlen(path) : 0;
    CLEANUP_CLOSE int fd = -EBADF;

    if (length < 2 || length >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
}
