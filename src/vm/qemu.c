/* Engines `kvm` and `tcg`: QEMU's machine type `q35`, with the processor's virtualization or in
 * software. They differ in -accel and -cpu only, so that what is tested in one holds in the other.
 *
 * Not `microvm`: with ACPI it has no timer that Linux could calibrate by in software emulation, and
 * the guest hangs at boot; without ACPI it has room for 8 devices, which Debian's kernels cannot be
 * told about (their virtio_mmio takes no `device` parameter). q35 with its unused parts off boots
 * as fast, holds all disks, and takes every kernel.
 *
 * Options: qemu(1). Disks come through fd sets, of which QEMU duplicates the descriptor with the
 * matching access mode; kernel, initramfs and a template's memory have no such way and are named
 * through /proc. -sandbox is QEMU's own seccomp filter.
 *
 * A machine whose container is not known yet has what takes its disks and NIC later (qemu-plug.c):
 * a SCSI controller, because disks on the PCI bus would each need a port of their own, and one PCI
 * Express port. vmgenid tells the guest's kernel that it has been woken from a template. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/netdevice.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/qemu-options.h"
#include "vm/qemu-plug.h"

enum { QEMU_PROCESSES_MAX = 256, QEMU_DESCRIPTORS_MAX = 1024, NUMBER_MAX = 32 };
/* Debian's cloud kernels: 6.1 keeps 36 MiB, 6.12 41, 7.3 47. */
enum { QEMU_KERNEL_RESERVED = 42 * 1024 * 1024 };

static const char *qemu_program(const struct vm_files *files)
{
    return files->qemu;
}

static const char *qemu_kernel(const struct vm_files *files)
{
    return files->x86_kernel;
}

static const char *qemu_initramfs(const struct vm_files *files)
{
    return files->x86_initramfs ? files->x86_initramfs : files->initramfs;
}

/* --- what speaks against it --- */

static int tcg_check(const struct vm_files *files, const char *root, struct error *err)
{
    int r;

    (void)root; /* needs no device */
    r = vm_engine_need_file(files->qemu, "qemu-system-x86_64",
                            "install the package qemu-system-x86", err);
    if (r == 0)
        r = vm_engine_need_file(files->x86_kernel, "guest kernel for QEMU",
                                "fetch Debian's with `make kernel-cloud`", err);
    if (r == 0)
        r = vm_engine_need_file(qemu_initramfs(files), "utility VM initramfs",
                                "hulld writes it at start", err);
    return r;
}

static int kvm_check_host(const char *root, struct error *err)
{
    CLEANUP_FREE char *device = string_format("%s/dev/kvm", root);
    CLEANUP_FREE char *nested = string_format("%s/sys/module/kvm_pvm", root);
    CLEANUP_CLOSE int fd = -EBADF;

    if (!device || !nested)
        return error_oom(err);
    if (access(device, F_OK) < 0)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "no /dev/kvm: this host has no hardware virtualization, or its "
                               "module (kvm_intel, kvm_amd) is not loaded");
    if (access(nested, F_OK) == 0)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "/dev/kvm is software-nested (kvm_pvm): it cannot run a stock "
                               "kernel");
    fd = open(device, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        int code = errno;

        return error_set_class(err, ERROR_UNAVAILABLE, "/dev/kvm cannot be opened: %s",
                               strerror(code));
    }
    return 0;
}

static int kvm_check(const struct vm_files *files, const char *root, struct error *err)
{
    int r = kvm_check_host(root, err);

    return r < 0 ? r : tcg_check(files, root, err);
}

/* --- command line --- */

/* Shared while the template is made, so that the guest's memory is in the file and not in the saved
 * state; private for those made from it. QEMU opens the file by name and for writing, or it would
 * take it for a ROM: what keeps a VMM from writing to it are the memfd's seals. */
static int append_memory(char ***argv, const char *size, bool make)
{
    char path[NUMBER_MAX];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", (int)VM_FD_MEMORY);
    return qemu_append(argv, "-object", "memory-backend-file", "id", "ram", "size", size,
                       "mem-path", path, "share", make ? "on" : "off", NULL);
}

static int append_machine(char ***argv, const struct vm_config *config,
                          const struct vm_engine_ops *ops)
{
    char cpus[NUMBER_MAX];
    char memory[NUMBER_MAX];
    bool kvm = ops == &vm_engine_kvm;
    bool shared = vm_engine_serves(config);
    int r;

    snprintf(cpus, sizeof(cpus), "%d", vm_engine_cpus(ops, config->cpus));
    snprintf(memory, sizeof(memory), "%lluM",
             (unsigned long long)vm_engine_memory_mib(ops, config->memory));
    r = qemu_append(argv, "-name", NULL, "guest", string_or(config->id, "vm"), NULL);
    for (const char *const *flag =
             (const char *const[]){"-no-user-config", "-nodefaults", "-no-reboot", NULL};
         *flag && r == 0; flag++)
        r = strv_append(argv, *flag);
    if (r == 0)
        r = qemu_append(argv, "-display", "none", NULL);
    if (r == 0)
        r = qemu_append(argv, "-sandbox", "on", "obsolete", "deny", "elevateprivileges", "deny",
                        "spawn", "deny", "resourcecontrol", "deny", NULL);
    /* A NULL ends the list. */
    if (r == 0)
        r = qemu_append(argv, "-machine", "q35", "usb", "off", "vmport", "off", "sata", "off",
                        "smbus", "off", config->template || shared ? "memory-backend" : NULL, "ram",
                        NULL);
    if (r == 0)
        r = qemu_append(argv, "-accel", kvm ? "kvm" : "tcg", NULL);
    if (r == 0)
        r = qemu_append(argv, "-cpu", kvm ? "host" : "max", NULL);
    if (r == 0)
        r = qemu_append(argv, "-smp", NULL, "cpus", cpus, NULL);
    if (r == 0)
        r = qemu_append(argv, "-m", NULL, "size", memory, NULL);
    if (r == 0 && config->template)
        r = append_memory(argv, memory, config->template->state < 0);
    /* The file server maps the guest's memory: what it reads goes to where the guest wants it. */
    if (r == 0 && shared)
        r = qemu_append(argv, "-object", "memory-backend-memfd", "id", "ram", "size", memory,
                        "share", "on", NULL);
    return r;
}

/* QEMU looks for its firmware relative to its own program, which in the jail is elsewhere: names
 * the folders that it would have used, below the "/usr" of "/usr/bin/qemu-system-x86_64". */
static int append_firmware(char ***argv, const char *program)
{
    static const char *const folders[] = {"share/qemu", "share/seabios", "lib/ipxe/qemu"};
    CLEANUP_FREE char *prefix = strdup(string_or(program, ""));
    int r = prefix ? 0 : -ENOMEM;

    for (int parts = 0; parts < 2 && r == 0; parts++) {
        char *slash = strrchr(prefix, '/');

        if (slash)
            *slash = '\0';
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && r == 0; i++) {
        r = strv_append(argv, "-L");
        if (r == 0)
            r = strv_appendf(argv, "%s/%s", prefix, folders[i]);
    }
    return r;
}

static int append_kernel(char ***argv, bool hold)
{
    int r = strv_append(argv, "-kernel");

    if (r == 0)
        r = strv_appendf(argv, "/proc/self/fd/%d", VM_FD_KERNEL);
    if (r == 0)
        r = strv_append(argv, "-initrd");
    if (r == 0)
        r = strv_appendf(argv, "/proc/self/fd/%d", VM_FD_INITRAMFS);
    if (r == 0)
        r = strv_append(argv, "-append");
    /* reboot=t: by triple fault, which always works at once; with -no-reboot that ends QEMU.
     * no_timer_check: the kernel gives up if its timer does not tick within some loops of its own,
     * as happens on a busy host. */
    if (r == 0)
        r = strv_appendf(
            argv, "console=ttyS0 quiet panic=-1 reboot=t no_timer_check hull.link=port:hull%s",
            hold ? " hull.hold=1" : "");
    return r;
}

static int append_socket(char ***argv, const char *id, enum vm_fd fd)
{
    char number[NUMBER_MAX];

    snprintf(number, sizeof(number), "%d", (int)fd);
    return qemu_append(argv, "-chardev", "socket", "id", id, "fd", number, NULL);
}

static int append_lines(char ***argv)
{
    int r = qemu_append(argv, "-chardev", "stdio", "id", "console", "signal", "off", NULL);

    if (r == 0)
        r = qemu_append(argv, "-serial", "chardev:console", NULL);
    if (r == 0)
        r = append_socket(argv, "control", VM_FD_CONTROL);
    if (r == 0)
        r = qemu_append(argv, "-mon", NULL, "chardev", "control", "mode", "control", NULL);
    if (r == 0)
        r = append_socket(argv, "link", VM_FD_LINK);
    if (r == 0)
        r = qemu_append(argv, "-device", "virtio-serial-pci", "max_ports", "2", NULL);
    if (r == 0)
        r = qemu_append(argv, "-device", "virtserialport", "chardev", "link", "name", "hull", NULL);
    if (r == 0)
        r = qemu_append(argv, "-device", "virtio-rng-pci", NULL);
    return r;
}

/* Gives free pages back to the host. Not the memory of a template: QEMU would punch them out of the
 * file that all its VMs have in common, is refused, and complains for each. */
static int append_balloon(char ***argv)
{
    return qemu_append(argv, "-device", "virtio-balloon-pci", "free-page-reporting", "on", NULL);
}

static int append_pooled(char ***argv, const struct vm_config *config)
{
    int r = qemu_append(argv, "-device", "virtio-scsi-pci", "id", QEMU_DISKS, NULL);

    if (r == 0)
        r = qemu_append(argv, "-device", "pcie-root-port", "id", QEMU_PORT, NULL);
    if (r == 0)
        r = qemu_append(argv, "-device", "vmgenid", "guid", "auto", NULL);
    if (r == 0 && config->template && config->template->state >= 0)
        r = qemu_append(argv, "-incoming", "defer", NULL);
    return r;
}

static int append_disk(char ***argv, size_t index, bool read_only)
{
    char fd[NUMBER_MAX];
    char node[NUMBER_MAX];
    char path[NUMBER_MAX];
    char serial[NUMBER_MAX];
    const char *only = read_only ? "on" : "off";
    int r;

    snprintf(fd, sizeof(fd), "%d", VM_FD_DISKS + (int)index);
    snprintf(node, sizeof(node), "disk%zu", index);
    snprintf(serial, sizeof(serial), "hull%zu", index);
    snprintf(path, sizeof(path), "/dev/fdset/%zu", index);
    r = qemu_append(argv, "-add-fd", NULL, "fd", fd, "set", path + strlen("/dev/fdset/"), NULL);
    /* The lock would be taken on the file that other VMs read too; hull's own rule is that a
     * writable disk belongs to one VM. */
    if (r == 0)
        r = qemu_append(argv, "-blockdev", NULL, "driver", "raw", "node-name", node, "read-only",
                        only, "discard", "unmap", "file.driver", "file", "file.filename", path,
                        "file.locking", "off", "file.discard", "unmap", "file.read-only", only,
                        NULL);
    if (r == 0)
        /* Else a full disk of the host stops the VM. */
        r = qemu_append(argv, "-device", "virtio-blk-pci", "drive", node, "serial", serial,
                        "werror", "report", "rerror", "report", NULL);
    return r;
}

static int append_shares(char ***argv)
{
    int r = append_socket(argv, "shares", VM_FD_SHARES);

    return r < 0 ? r
                 : qemu_append(argv, "-device", "vhost-user-fs-pci", "chardev", "shares", "tag",
                               VM_SHARES_TAG, NULL);
}

static int append_nic(char ***argv, const struct vm_nic *nic)
{
    char fd[NUMBER_MAX];
    int r;

    if (!nic->link)
        return 0;
    snprintf(fd, sizeof(fd), "%d", VM_FD_NIC);
    r = qemu_append(argv, "-netdev", "tap", "id", "net0", "fd", fd, "vhost", "off", NULL);
    if (r < 0)
        return r;
    /* No boot ROM: nothing boots from the network. */
    if (!nic->mac)
        return qemu_append(argv, "-device", "virtio-net-pci", "netdev", "net0", "romfile", "",
                           NULL);
    return qemu_append(argv, "-device", "virtio-net-pci", "netdev", "net0", "romfile", "", "mac",
                       nic->mac, NULL);
}

static int qemu_command(const struct vm_config *config, const struct vm_engine_ops *ops,
                        char ***ret_argv, struct error *err)
{
    CLEANUP_STRV char **argv = NULL;
    int r = strv_append(&argv, "qemu-system-x86_64");

    if (r == 0)
        r = append_machine(&argv, config, ops);
    if (r == 0)
        r = append_firmware(&argv, config->files.qemu);
    if (r == 0)
        r = append_kernel(&argv, config->template != NULL);
    if (r == 0)
        r = append_lines(&argv);
    if (r == 0 && !config->template)
        r = append_balloon(&argv);
    for (size_t i = 0; i < config->n_disks && r == 0; i++)
        r = append_disk(&argv, i, config->disks[i].read_only);
    if (r == 0 && vm_engine_serves(config))
        r = append_shares(&argv);
    if (r == 0)
        r = append_nic(&argv, &config->nic);
    if (r == 0 && config->pooled)
        r = append_pooled(&argv, config);
    if (r < 0)
        return error_oom(err);
    *ret_argv = TAKE_PTR(argv);
    return 0;
}

static int kvm_command(const struct vm_config *config, char ***ret_argv, struct error *err)
{
    return qemu_command(config, &vm_engine_kvm, ret_argv, err);
}

static int tcg_command(const struct vm_config *config, char ***ret_argv, struct error *err)
{
    return qemu_command(config, &vm_engine_tcg, ret_argv, err);
}

const struct vm_engine_ops vm_engine_kvm = {
    .name = "kvm",
    .control = true,
    .loads_kernel = true,
    .proc = true,
    .templates = true,
    .served = true,
    .filter = VM_JAIL_FILTER_QEMU,
    .device = "/dev/kvm",
    .processes_max = QEMU_PROCESSES_MAX,
    .descriptors_max = QEMU_DESCRIPTORS_MAX,
    .overhead = 128ULL * 1024 * 1024,
    .reserved = QEMU_KERNEL_RESERVED,
    .program = qemu_program,
    .kernel = qemu_kernel,
    .initramfs = qemu_initramfs,
    .check = kvm_check,
    .command = kvm_command,
    .open_nic = netdevice_open_tap,
    .plug = qemu_plug,
    .unplug = qemu_unplug,
};

const struct vm_engine_ops vm_engine_tcg = {
    .name = "tcg",
    .control = true,
    .loads_kernel = true,
    .proc = true,
    .templates = true,
    .served = true,
    .filter = VM_JAIL_FILTER_QEMU,
    .processes_max = QEMU_PROCESSES_MAX,
    .descriptors_max = QEMU_DESCRIPTORS_MAX,
    .overhead = 256ULL * 1024 * 1024, /* with the cache of translated code */
    .reserved = QEMU_KERNEL_RESERVED,
    .program = qemu_program,
    .kernel = qemu_kernel,
    .initramfs = qemu_initramfs,
    .check = tcg_check,
    .command = tcg_command,
    .open_nic = netdevice_open_tap,
    .plug = qemu_plug,
    .unplug = qemu_unplug,
};
