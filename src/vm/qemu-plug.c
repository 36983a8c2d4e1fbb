/* Theory of operation.
 *
 * Disks and NIC are opened here and travel over the control connection: add-fd makes a descriptor
 * an fd set, as -add-fd does, getfd gives it a name. A list of commands is made and sent one after
 * the other, each after the answer to the one before, which also is what qmp_command_fd() asks for;
 * the first that is refused or takes too long ends it.
 *
 * Disk N is SCSI target N, which is how the guest finds it: the order in which a guest numbers its
 * SCSI disks is chance. */
#include "vm/qemu-plug.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/netdevice.h"
#include "vm/engine.h"
#include "vm/plug.h"
#include "vm/qmp.h"
#include "vm/vm-internal.h"

enum { STEPS_MAX = 3 * VM_DISKS_MAX + 3, NAME_MAX_LENGTH = 24, PATH_LENGTH = 32 };

struct step {
    const char *command;
    json_t *arguments;
    int fd;
};

struct qemu_plug {
    struct loop_source timer;
    struct step steps[STEPS_MAX];
    size_t n;
    size_t next;
    bool over;
};

void qemu_unplug(struct vm_plugging *plugging)
{
    struct qemu_plug *own = plugging->engine;

    if (!own)
        return;
    loop_remove(&own->timer);
    for (size_t i = 0; i < own->n; i++) {
        json_decref(own->steps[i].arguments);
        fd_close(own->steps[i].fd);
    }
    free(own);
    plugging->engine = NULL;
}

/* Consumes arguments and fd. */
static int add_step(struct qemu_plug *own, const char *command, json_t *arguments, int fd,
                    struct error *err)
{
    CLEANUP_CLOSE int owned = fd;

    if (!arguments)
        return error_oom(err);
    own->steps[own->n++] =
        (struct step){.command = command, .arguments = arguments, .fd = TAKE_FD(owned)};
    return 0;
}

/* The rights are the descriptor's: what was looked at with O_PATH is opened again. */
static int open_disk(const struct vm_plugging_disk *disk, struct error *err)
{
    char path[PATH_LENGTH];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", disk->fd);
    fd = open(path, (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? error_set_errno(err, -errno, "cannot open %s", disk->name) : fd;
}

static int add_disk(struct qemu_plug *own, const struct vm_plugging_disk *disk, size_t index,
                    struct error *err)
{
    char node[NAME_MAX_LENGTH];
    char path[NAME_MAX_LENGTH];
    char serial[NAME_MAX_LENGTH];
    int fd = open_disk(disk, err);
    int r;

    if (fd < 0)
        return fd;
    snprintf(node, sizeof(node), "disk%zu", index);
    snprintf(path, sizeof(path), "/dev/fdset/%zu", index);
    snprintf(serial, sizeof(serial), "hull%zu", index);
    r = add_step(own, "add-fd", json_pack("{s:I}", "fdset-id", (json_int_t)index), fd, err);
    /* As on the command line, see qemu.c. */
    if (r == 0)
        r = add_step(own, "blockdev-add",
                     json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:s, s:s, s:s, s:b}}", "driver", "raw",
                               "node-name", node, "read-only", disk->read_only, "discard", "unmap",
                               "file", "driver", "file", "filename", path, "locking", "off",
                               "discard", "unmap", "read-only", disk->read_only),
                     -EBADF, err);
    if (r == 0)
        r = add_step(own, "device_add",
                     json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "driver", "scsi-hd", "bus",
                               QEMU_DISKS ".0", "scsi-id", (json_int_t)index, "drive", node,
                               "serial", serial, "werror", "report", "rerror", "report"),
                     -EBADF, err);
    return r;
}

static int add_nic(struct qemu_plug *own, const struct vm_plugging *plugging, struct error *err)
{
    int fd = netdevice_open_tap(plugging->nic_link, err);
    int r;

    if (fd < 0)
        return fd;
    r = add_step(own, "getfd", json_pack("{s:s}", "fdname", "nic"), fd, err);
    if (r == 0)
        r = add_step(
            own, "netdev_add",
            json_pack("{s:s, s:s, s:s, s:b}", "type", "tap", "id", "net0", "fd", "nic", "vhost", 0),
            -EBADF, err);
    if (r == 0)
        r = add_step(own, "device_add",
                     json_pack("{s:s, s:s, s:s, s:s, s:s*}", "driver", "virtio-net-pci", "bus",
                               QEMU_PORT, "netdev", "net0", "romfile", "", "mac",
                               plugging->nic_mac),
                     -EBADF, err);
    return r;
}

static void finish(struct vm *vm, const struct error *error)
{
    struct qemu_plug *own = vm->plugging->engine;

    if (own->over)
        return;
    own->over = true;
    loop_remove(&own->timer);
    vm_plug_done(vm, error); /* the VM may be gone now */
}

static void on_time(struct loop_source *source, uint32_t events)
{
    struct vm *vm = source->data;
    struct qemu_plug *own = vm->plugging->engine;
    struct error late = ERROR_INIT;

    (void)events;
    (void)error_set(&late, -ETIMEDOUT, "hot plug, '%s': QEMU did not answer within %d s",
                    own->steps[own->next - 1].command, VM_PLUG_TIMEOUT_MS / 1000);
    finish(vm, &late);
}

static int send_step(struct vm *vm, struct error *err);

static void on_answer(struct qmp *qmp, const json_t *result, const struct error *error, void *data)
{
    struct vm *vm = data;
    struct qemu_plug *own = vm->plugging->engine;
    struct error failure = ERROR_INIT;

    (void)qmp;
    (void)result;
    if (own->over)
        return;
    if (error) {
        (void)error_set(&failure, error->code, "hot plug, '%s': %s",
                        own->steps[own->next - 1].command, error->message);
        finish(vm, &failure);
    } else if (own->next == own->n) {
        finish(vm, NULL);
    } else if (send_step(vm, &failure) < 0) {
        finish(vm, &failure);
    }
}

static int send_step(struct vm *vm, struct error *err)
{
    struct qemu_plug *own = vm->plugging->engine;
    struct step *step = &own->steps[own->next++];

    (void)loop_timer_set(&own->timer, VM_PLUG_TIMEOUT_MS);
    return qmp_command_fd(vm->qmp, step->command, TAKE_PTR(step->arguments), TAKE_FD(step->fd),
                          on_answer, vm, err);
}

int qemu_plug(struct vm *vm, struct vm_plugging *plugging, struct error *err)
{
    struct qemu_plug *own = calloc(1, sizeof(*own));
    int r = 0;

    if (!own)
        return error_oom(err);
    own->timer = (struct loop_source)LOOP_SOURCE_INIT;
    plugging->engine = own;
    for (size_t i = 0; i < plugging->n_disks && r == 0; i++)
        r = add_disk(own, &plugging->disks[i], i, err);
    if (r == 0 && plugging->nic_link)
        r = add_nic(own, plugging, err);
    /* With a command that does nothing there is always an answer to wait for. */
    if (r == 0 && own->n == 0)
        r = add_step(own, "query-status", json_object(), -EBADF, err);
    if (r == 0)
        r = loop_add_timer(vm->loop, &own->timer, on_time, vm);
    return r < 0 ? r : send_step(vm, err);
}
