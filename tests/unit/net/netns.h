/* Network namespaces for tests: the whole test program lives in one of its own (the "host"), and
 * makes others (containers, a machine outside). All sockets are made in the namespace that matters
 * and used from anywhere. */
#ifndef HULL_TESTS_UNIT_NET_NETNS_H
#define HULL_TESTS_UNIT_NET_NETNS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/netlink.h"
#include "base/process.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>

enum {
    NETNS_PATIENCE_MS = 5000, /* for what must happen */
    NETNS_REFUSAL_MS = 300,   /* for what must not */
    NETNS_OUTPUT_MAX = 1024 * 1024,
};

/* A failed call shows its message. */
#define assert_done(call, err)                        \
    do {                                              \
        if ((call) < 0)                               \
            fail_msg("%s: %s", #call, (err).message); \
    } while (0)

static bool netns_permitted;

/* Group set-up: enters a network namespace of the test's own. */
static inline int netns_setup(void **state)
{
    struct netlink *netlink = NULL;
    struct netlink_link lo;

    (void)state;
    if (unshare(CLONE_NEWNET) < 0) {
        print_message("network tests are skipped: unshare(CLONE_NEWNET): %s\n", strerror(errno));
        return 0;
    }
    if (netlink_open(-EBADF, &netlink, NULL) < 0 ||
        netlink_find_name(netlink, "lo", &lo, NULL) < 0 ||
        netlink_set_up(netlink, lo.index, NULL) < 0)
        return -1;
    netlink_free(netlink);
    netns_permitted = true;
    return 0;
}

#define netns_required()      \
    do {                      \
        if (!netns_permitted) \
            skip();           \
    } while (0)

static inline int netns_open_own(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static inline void netns_enter(int fd)
{
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
}

static inline int netns_make(void)
{
    CLEANUP_CLOSE int home = netns_open_own();
    int fd;

    assert_int_equal(unshare(CLONE_NEWNET), 0);
    fd = netns_open_own();
    netns_enter(home);
    return fd;
}

static inline struct sockaddr_in netns_address(const char *address, uint16_t port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};

    assert_int_equal(inet_pton(AF_INET, address, &name.sin_addr), 1);
    return name;
}

/* A TCP listener on all addresses of the namespace (-EBADF: the current one). */
static inline int netns_listen(int netns, uint16_t port)
{
    CLEANUP_CLOSE int home = netns_open_own();
    struct sockaddr_in name = netns_address("0.0.0.0", port);
    int on = 1;
    int fd;

    if (netns >= 0)
        netns_enter(netns);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    netns_enter(home);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

/* Connects from the namespace; a descriptor or -errno. */
static inline int netns_connect(int netns, const char *address, uint16_t port, int patience_ms)
{
    CLEANUP_CLOSE int home = netns_open_own();
    CLEANUP_CLOSE int fd = -EBADF;
    struct sockaddr_in name = netns_address(address, port);
    struct pollfd wait = {.events = POLLOUT};
    socklen_t length = sizeof(int);
    int failure = 0;

    if (netns >= 0)
        netns_enter(netns);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    netns_enter(home);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 && errno != EINPROGRESS)
        return -errno;
    wait.fd = fd;
    if (poll(&wait, 1, patience_ms) != 1)
        return -ETIMEDOUT;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length), 0);
    return failure ? -failure : TAKE_FD(fd);
}

/* Connects, sends a byte through to `listener`, and writes whom the listener saw (may be NULL). */
static inline void assert_reaches(int netns, const char *address, uint16_t port, int listener,
                                  char seen[INET_ADDRSTRLEN])
{
    CLEANUP_CLOSE int client = netns_connect(netns, address, port, NETNS_PATIENCE_MS);
    CLEANUP_CLOSE int server = -EBADF;
    struct sockaddr_in peer = {0};
    socklen_t length = sizeof(peer);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    char byte = 'x';

    if (client < 0)
        fail_msg("cannot connect to %s:%u: %s", address, port, strerror(-client));
    assert_int_equal(poll(&wait, 1, NETNS_PATIENCE_MS), 1);
    server = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
    assert_true(server >= 0);
    assert_int_equal(write(client, &byte, 1), 1);
    wait.fd = server;
    assert_int_equal(poll(&wait, 1, NETNS_PATIENCE_MS), 1);
    byte = 0;
    assert_int_equal(read(server, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    if (seen)
        assert_non_null(inet_ntop(AF_INET, &peer.sin_addr, seen, INET_ADDRSTRLEN));
}

/* Output of a program that must succeed; free() it. */
static inline char *run_program_output(const char *const *argv, const char *input)
{
    CLEANUP(buffer_release) struct buffer output = BUFFER_INIT(NETNS_OUTPUT_MAX);
    struct error err = ERROR_INIT;

    assert_done(process_run((char *const *)(uintptr_t)argv, input, &output, 10000, &err), err);
    return buffer_take(&output);
}

#define run_output(...) run_program_output((const char *const[]){__VA_ARGS__, NULL}, NULL)
#define run_input(input, ...) run_program_output((const char *const[]){__VA_ARGS__, NULL}, input)

#endif
