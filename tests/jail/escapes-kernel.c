#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <sys/io.h>
#endif

#include "escape.h"

static int try_socket(int family, int type, int protocol)
{
    int fd = socket(family, type | SOCK_CLOEXEC, protocol);
    int result = escape_result(fd);

    if (fd >= 0)
        close(fd);
    return result;
}

static int connect_unix(const char *name, bool abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0)
        return errno;
    memcpy(address.sun_path + abstract, name, length);
    result = escape_result(
        connect(fd, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract + length)));
    close(fd);
    return result;
}

static int connect_by_path(const struct outside *outside)
{
    return connect_unix(outside->socket, false);
}

static int connect_abstract(const struct outside *outside)
{
    return connect_unix(outside->abstract, true);
}

static int connect_inet(const struct outside *outside)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)outside->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;

    if (fd < 0)
        return errno;
    result = escape_result(connect(fd, (struct sockaddr *)&address, sizeof(address)));
    close(fd);
    return result;
}

static int have_netlink(const struct outside *outside)
{
    (void)outside;
    return try_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static int have_packets(const struct outside *outside)
{
    (void)outside;
    return try_socket(AF_PACKET, SOCK_RAW, 0);
}

static int have_inet6(const struct outside *outside)
{
    (void)outside;
    return try_socket(AF_INET6, SOCK_DGRAM, 0);
}

static int have_vsock(const struct outside *outside)
{
    (void)outside;
    return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int have_crypto(const struct outside *outside)
{
    (void)outside;
    return try_socket(AF_ALG, SOCK_SEQPACKET, 0);
}

static int attach_memory(const struct outside *outside)
{
    void *memory = shmat((int)outside->memory_id, NULL, SHM_RDONLY);

    if (memory == (void *)-1)
        return errno;
    shmdt(memory);
    return 0;
}

static int make_memory(const struct outside *outside)
{
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    int result = escape_result(id);

    (void)outside;
    if (id >= 0)
        shmctl(id, IPC_RMID, NULL);
    return result;
}

static int session_keys(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3 /* session */, 1));
}

static int add_key(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_add_key, "user", "escape", "x", 1, -1 /* thread keyring */));
}

static int make_bpf_map(const struct outside *outside)
{
    union bpf_attr attributes = {
        .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

    (void)outside;
    return escape_result(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes)));
}

static int count_events(const struct outside *outside)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CPU_CLOCK,
    };

    (void)outside;
    return escape_result(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int make_ring(const struct outside *outside)
{
    char parameters[256] = "";

    (void)outside;
    return escape_result(syscall(SYS_io_uring_setup, 1, parameters));
}

static int handle_faults(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_userfaultfd, 0));
}

static int watch_files(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_fanotify_init, 0, 0));
}

static int swap(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_swapon, "/nonexistent", 0), ENOENT);
}

static int load_kernel(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_kexec_load, 0, 1000, NULL, 0), EINVAL);
}

static int load_kernel_file(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, ~0UL), EINVAL);
}

static int load_module(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_finit_module, -1, "", 0), EBADF);
}

static int unload_module(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_delete_module, "hull_no_such_module", 0), ENOENT);
}

static int restart(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_reboot, 0, 0, 0, NULL), EINVAL);
}

static int account(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_acct, "/nonexistent"), ENOENT);
}

static int set_clock(const struct outside *outside)
{
    struct timex time = {.modes = ADJ_TICK, .tick = 1};

    (void)outside;
    return escape_reached(syscall(SYS_adjtimex, &time), EINVAL);
}

static int read_kernel_log(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_syslog, 10 /* its size */, NULL, 0));
}

static int set_quota(const struct outside *outside)
{
    (void)outside;
    return escape_reached(syscall(SYS_quotactl, 0x800002 << 8, "/nonexistent", 0, NULL), ENOENT);
}

#if defined(__x86_64__)
static int ports(const struct outside *outside)
{
    (void)outside;
    return escape_result(iopl(3));
}

static int segments(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(SYS_modify_ldt, 0, NULL, 0));
}

/* x32's getpid. */
static int other_numbers(const struct outside *outside)
{
    (void)outside;
    return escape_result(syscall(0x40000000 | SYS_getpid));
}
#endif

const struct escape escapes_kernel[] = {
    {"connect to a socket by path", connect_by_path, false},
    {"connect to an abstract socket", connect_abstract, false},
    {"connect to 127.0.0.1", connect_inet, false},
    {"netlink", have_netlink, false},
    {"packet socket", have_packets, false},
    {"IPv6 socket", have_inet6, true},
    {"vsock", have_vsock, true},
    {"AF_ALG", have_crypto, true},
    {"attach shared memory", attach_memory, false},
    {"make shared memory", make_memory, false},
    {"keyctl", session_keys, true},
    {"add_key", add_key, true},
    {"bpf", make_bpf_map, false},
    {"perf_event_open", count_events, true},
    {"io_uring_setup", make_ring, true},
    {"userfaultfd", handle_faults, true},
    {"fanotify_init", watch_files, true},
    {"swapon", swap, true},
    {"kexec_load", load_kernel, true},
    {"kexec_file_load", load_kernel_file, true},
    {"finit_module", load_module, true},
    {"delete_module", unload_module, true},
    {"reboot", restart, false},
    {"acct", account, true},
    {"adjtimex", set_clock, false},
    {"syslog", read_kernel_log, false},
    {"quotactl", set_quota, true},
#if defined(__x86_64__)
    {"iopl", ports, true},
    {"modify_ldt", segments, true},
    {"x32 system calls", other_numbers, true},
#endif
    {NULL, NULL, false},
};
