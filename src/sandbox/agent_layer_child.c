/* The child of the agent that sends or receives a writable layer: see agent_layer.h.
 *
 * It reaches the layer by one descriptor and has the capabilities for files, and CAP_SYS_ADMIN,
 * without which there are no trusted.* attributes: opaque directories are made of them. */
#include "sandbox/agent_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "sandbox/agent_archive.h"
#include "sandbox/archive-entry.h"
#include "sandbox/stage.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-write.h"

enum { FD_PORT = 3, FD_FIRST_FREE = 4 };

/* mke2fs.conf(5): the fewest bytes of a disk for each inode of it. The names of hard links are
 * charged as bytes. */
enum { INODE_RATIO_MIN = 4096, ENTRIES_SPARE = 64 * 1024, BYTES_SPARE = 16 * 1024 * 1024 };

struct port {
    const struct layer_task *task;
    int ring;
    int content;   /* receiver: the source, or -EBADF */
    int disk;      /* receiver: the image, or -EBADF */
    char *slot;    /* a copy of the slot at hand, aligned */
    size_t length; /* receiver: bytes in it that ... */
    size_t used;   /* ... the reader has taken */
    bool ended;
};

static int tell(const struct layer_reply *reply)
{
    return write(FD_PORT, reply, sizeof(*reply)) < 0 ? -errno : 0;
}

static _Noreturn void fail(const struct error *error)
{
    struct layer_reply reply = {.kind = LAYER_FAILED, .error = *error};

    (void)tell(&reply);
    _exit(EXIT_FAILURE);
}

/* The agent is gone when there is nobody to ask; it is not told of that. */
static struct layer_command await_command(const struct port *port)
{
    struct layer_command command;
    ssize_t n;

    do
        n = read(FD_PORT, &command, sizeof(command));
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(command) || command.slot >= port->task->slots ||
        command.length > port->task->slot_size)
        _exit(EXIT_FAILURE);
    return command;
}

/* Disks are written in whole sectors. */
static size_t whole_blocks(size_t length)
{
    return (length + LAYER_SLOT_ALIGN - 1) / LAYER_SLOT_ALIGN * LAYER_SLOT_ALIGN;
}

static off_t slot_offset(const struct port *port, uint32_t slot)
{
    return (off_t)slot * port->task->slot_size;
}

/* --- sending --- */

static int send_bytes(void *data, const void *bytes, size_t length, struct error *err)
{
    struct port *port = data;
    const char *at = bytes;

    while (length > 0) {
        size_t n = length < port->task->slot_size ? length : port->task->slot_size;
        struct layer_command command = await_command(port);
        struct layer_reply reply = {.kind = LAYER_DONE, .length = (uint32_t)n};
        size_t size = whole_blocks(n);

        memcpy(port->slot, at, n);
        if (pwrite(port->ring, port->slot, size, slot_offset(port, command.slot)) != (ssize_t)size)
            return error_set_errno(err, errno ? -errno : -EIO, "cannot write to the ring");
        if (tell(&reply) < 0)
            _exit(EXIT_FAILURE);
        at += n;
        length -= n;
    }
    return 0;
}

static int send_layer(struct port *port, int root_fd, struct error *err)
{
    const struct tree_write_options options = {.flags = TREE_WRITE_RAW,
                                               .content = port->task->content};
    const struct tar_sink sink = {.write = send_bytes, .data = port};
    int r = tree_write(root_fd, "/", &options, &sink, err);

    if (r < 0)
        return r;
    (void)await_command(port);
    return tell(&(struct layer_reply){.kind = LAYER_ENDED});
}

/* --- receiving --- */

static int take_slot(struct port *port, struct error *err)
{
    struct layer_command command = await_command(port);
    struct layer_reply reply = {.kind = LAYER_DONE, .length = command.length};
    size_t size = whole_blocks(command.length);

    port->ended = command.length == 0;
    if (port->ended)
        return 0; /* answered when everything is made */
    if (pread(port->ring, port->slot, size, slot_offset(port, command.slot)) != (ssize_t)size)
        return error_set_errno(err, errno ? -errno : -EIO, "cannot read from the ring");
    port->length = command.length;
    port->used = 0;
    if (tell(&reply) < 0)
        _exit(EXIT_FAILURE);
    return 0;
}

static ssize_t receive_bytes(void *data, void *bytes, size_t size, struct error *err)
{
    struct port *port = data;
    size_t n;
    int r = 0;

    if (port->used == port->length && !port->ended)
        r = take_slot(port, err);
    if (r < 0 || port->ended)
        return r;
    n = port->length - port->used;
    if (n > size)
        n = size;
    memcpy(bytes, port->slot + port->used, n);
    port->used += n;
    return (ssize_t)n;
}

/* Content, a block for each inode, and attributes, whose blocks inodes may share. */
static void set_limits(const struct layer_task *task, struct tree_extract_options *options)
{
    uint64_t size = task->max_bytes;

    if (size == 0 || size > INT64_MAX / 3)
        return;
    options->max_bytes = size + size + size / 2 + BYTES_SPARE;
    options->max_entries = size / INODE_RATIO_MIN + ENTRIES_SPARE;
}

/* On disk before it is said to be there: no other write of it is waited for. */
static int receive_layer(struct port *port, int root_fd, struct error *err)
{
    const struct layer_task *task = port->task;
    struct tree_extract_options options = {
        .flags = TREE_EXTRACT_RAW,
        .content = {.how = task->content, .source_fd = port->content, .disk_fd = port->disk}};
    const struct tar_source source = {.read = receive_bytes, .data = port};
    struct tree_extract_result result = {0};
    /* Before anything is written: it is told of what fails from then on (syncfs(2)). */
    CLEANUP_CLOSE int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open the layer");
    set_limits(task, &options);
    r = tree_extract(root_fd, "/", &options, &source, &result, err);
    if (r < 0)
        return r;
    if (syncfs(fd) < 0)
        return error_set_errno(err, -errno, "cannot write the layer to disk");
    while (!port->ended) /* it had nothing more to say */
        if ((r = take_slot(port, err)) < 0)
            return r;
    return tell(&(struct layer_reply){
        .kind = LAYER_ENDED, .entries = result.entries, .bytes = result.bytes});
}

/* --- both --- */

static int open_ring(const char *path, struct error *err)
{
    struct stat status;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(err, -errno, "cannot open the ring %s", path);
    /* What this kernel keeps of a disk is not what the host has. */
    if (S_ISBLK(status.st_mode) && fcntl(fd, F_SETFL, O_DIRECT) < 0)
        return error_set_errno(err, -errno, "cannot open the ring %s directly", path);
    return fd;
}

static int open_layer(const struct layer_task *task, struct error *err)
{
    int fd;

    if (!task->is_guest)
        return agent_layer_enter(task->directory, err);
    fd = open(task->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open %s", task->directory) : fd;
}

static int run(const struct layer_task *task, struct error *err)
{
    struct port port = {.task = task, .content = -EBADF, .disk = -EBADF};
    CLEANUP_CLOSE int root_fd = -EBADF;
    void *slot = NULL;
    int r;

    port.ring = open_ring(task->ring, err);
    if (port.ring < 0)
        return port.ring;
    if (task->receive && task->content != TREE_CONTENT_HERE) {
        port.content = open(task->source, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (port.content < 0)
            return error_set_errno(err, -errno, "cannot open %s", task->source);
    }
    if (task->disk) {
        port.disk = open(task->disk, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (port.disk < 0)
            return error_set_errno(err, -errno, "cannot open %s", task->disk);
    }
    root_fd = open_layer(task, err);
    if (root_fd < 0)
        return root_fd;
    if (posix_memalign(&slot, LAYER_SLOT_ALIGN, task->slot_size) != 0)
        return error_oom(err);
    port.slot = memset(slot, 0, task->slot_size);
    r = agent_archive_confine(true, err);
    if (r == 0 && !task->is_guest)
        r = agent_layer_filter(err);
    if (r == 0)
        r = task->receive ? receive_layer(&port, root_fd, err) : send_layer(&port, root_fd, err);
    free(slot);
    return r;
}

_Noreturn void agent_layer_child(const struct layer_task *task, int port)
{
    struct error error = ERROR_INIT;

    stage_die_with_parent(port);
    if (port != FD_PORT && dup2(port, FD_PORT) < 0)
        _exit(EXIT_FAILURE);
    (void)fcntl(FD_PORT, F_SETFD, FD_CLOEXEC);
    if (syscall(SYS_close_range, FD_FIRST_FREE, ~0U, 0U) < 0)
        _exit(EXIT_FAILURE);
    umask(0);
    if (run(task, &error) < 0)
        fail(&error);
    _exit(EXIT_SUCCESS);
}
