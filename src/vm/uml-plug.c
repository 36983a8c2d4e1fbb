/* Theory of operation.
 *
 * A disk appears in the VMM's jail as /disks/N (vm/share.h) and is then named to the management
 * console. The NIC's packet socket was inherited at start, bound to nothing; this process, which
 * kept a copy, binds it, and then the console is told to use it. The commands go one by one, in the
 * order disks, NIC; the first that fails ends it. */
#include "vm/uml-plug.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/netdevice.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/jail.h"
#include "vm/mconsole.h"
#include "vm/plug.h"
#include "vm/share.h"
#include "vm/uml.h"
#include "vm/vm-internal.h"

struct uml_plug {
    struct mconsole *console;
    char **commands;
    size_t next;
};

void uml_unplug(struct vm_plugging *plugging)
{
    struct uml_plug *own = plugging->engine;

    if (!own)
        return;
    mconsole_free(own->console);
    strv_free(own->commands);
    free(own);
    plugging->engine = NULL;
}

static int attach_disks(struct vm *vm, const struct vm_plugging *plugging, struct error *err)
{
    int r = 0;

    for (size_t i = 0; i < plugging->n_disks && r == 0; i++) {
        const struct vm_share disk = {.fd = plugging->disks[i].fd,
                                      .name = plugging->disks[i].name,
                                      .read_only = plugging->disks[i].read_only};

        r = vm_attach_disk(vm, (unsigned)i, &disk, err);
    }
    return r;
}

static int make_commands(struct vm *vm, const struct vm_plugging *plugging, char ***ret)
{
    const struct vm_nic nic = {
        .link = plugging->nic_link, .mac = plugging->nic_mac, .mtu = plugging->nic_mtu};
    CLEANUP_FREE char *text = NULL;
    int r = 0;

    (void)vm;
    for (size_t i = 0; i < plugging->n_disks && r == 0; i++)
        r = strv_appendf(ret, "config ubd%zud%s=" VM_JAIL_DISKS "/%zu,,hull%zu", i,
                         plugging->disks[i].read_only ? "r" : "", i, i);
    if (r < 0 || !nic.link)
        return r;
    text = uml_nic_option(&nic);
    return text ? strv_appendf(ret, "config %s", text) : -ENOMEM;
}

static void answered(const struct error *error, void *data)
{
    struct vm *vm = data;
    struct uml_plug *own = vm->plugging->engine;
    struct error failure = ERROR_INIT;

    if (error) {
        (void)error_set(&failure, error->code, "hot plug, '%s': %s", own->commands[own->next - 1],
                        error->message);
        vm_plug_done(vm, &failure);
        return;
    }
    if (!own->commands || !own->commands[own->next]) {
        own->console = mconsole_free(own->console);
        vm_plug_done(vm, NULL);
        return;
    }
    if (mconsole_ask(own->console, own->commands[own->next++], VM_PLUG_TIMEOUT_MS, answered, vm,
                     &failure) < 0)
        vm_plug_done(vm, &failure);
}

static int open_console(struct vm *vm, struct mconsole **ret, struct error *err)
{
    CLEANUP_CLOSE int console = vm_open_management(vm, err);

    return console < 0 ? console : mconsole_new(console, vm->process.pidfd, vm->loop, ret, err);
}

int uml_plug(struct vm *vm, struct vm_plugging *plugging, struct error *err)
{
    struct uml_plug *own = calloc(1, sizeof(*own));
    int r;

    if (!own)
        return error_oom(err);
    plugging->engine = own;
    if (plugging->nic_link) {
        r = netdevice_bind_packet_socket(vm->nic, plugging->nic_link, err);
        if (r < 0)
            return r;
    }
    r = open_console(vm, &own->console, err);
    if (r == 0)
        r = attach_disks(vm, plugging, err);
    if (r == 0 && make_commands(vm, plugging, &own->commands) < 0)
        r = error_oom(err);
    /* `version` is a command that does nothing: with it there is always an answer to wait for. */
    if (r == 0)
        r = mconsole_ask(own->console, own->commands ? own->commands[own->next++] : "version",
                         VM_PLUG_TIMEOUT_MS, answered, vm, err);
    return r;
}
