#include "vm/plug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/vm-internal.h"

static int open_disk(const struct vm_disk *disk, struct vm_plugging_disk *ret, struct error *err)
{
    struct stat st;
    CLEANUP_CLOSE int fd = open(disk->path, O_PATH | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "cannot open %s", disk->path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(err, -EINVAL, "%s is neither a file nor a block device", disk->path);
    ret->name = strdup(disk->path);
    if (!ret->name)
        return error_oom(err);
    ret->fd = TAKE_FD(fd);
    ret->read_only = disk->read_only;
    return 0;
}

static int fill(struct vm_plugging *plugging, const struct vm_plug *plug, struct error *err)
{
    for (size_t i = 0; i < plug->n_disks; i++) {
        int r;

        plugging->disks[i].fd = -EBADF;
        plugging->n_disks = i + 1;
        r = open_disk(&plug->disks[i], &plugging->disks[i], err);
        if (r < 0)
            return r;
    }
    plugging->nic_mtu = plug->nic.mtu;
    if (string_replace(&plugging->nic_link, plug->nic.link) < 0 ||
        string_replace(&plugging->nic_mac, plug->nic.mac) < 0)
        return error_oom(err);
    return 0;
}

int vm_plug(struct vm *vm, const struct vm_plug *plug, vm_plugged_function *plugged, void *data,
            struct error *err)
{
    int r;

    if (!vm->ops->plug)
        return error_set(err, -EOPNOTSUPP, "engine '%s' has no hot plug", vm->ops->name);
    if (!vm->pooled || plug->n_disks > VM_DISKS_MAX)
        return error_set(err, -EINVAL, "this utility VM takes no such disks");
    if (vm->plugging)
        return error_set(err, -EALREADY, "this utility VM has its disks");
    if (vm->process.pid <= 0)
        return error_set(err, -ESRCH, "the VMM has gone");
    vm->plugging = calloc(1, sizeof(*vm->plugging));
    if (!vm->plugging)
        return error_oom(err);
    vm->plugging->plugged = plugged;
    vm->plugging->data = data;
    r = fill(vm->plugging, plug, err);
    return r < 0 ? r : vm->ops->plug(vm, vm->plugging, err);
}

void vm_plug_done(struct vm *vm, const struct error *error)
{
    struct vm_plugging *plugging = vm->plugging;
    vm_plugged_function *plugged = plugging->plugged;

    plugging->plugged = NULL;
    /* The last thing done here: the callee may free the VM. */
    if (plugged)
        plugged(vm, error, plugging->data);
}

struct vm_plugging *vm_plug_free(struct vm *vm)
{
    struct vm_plugging *plugging = vm->plugging;

    if (!plugging)
        return NULL;
    if (vm->ops->unplug)
        vm->ops->unplug(plugging);
    for (size_t i = 0; i < plugging->n_disks; i++) {
        fd_close(plugging->disks[i].fd);
        free(plugging->disks[i].name);
    }
    free(plugging->nic_link);
    free(plugging->nic_mac);
    free(plugging);
    return NULL;
}
