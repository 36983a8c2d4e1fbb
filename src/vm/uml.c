/* Engine `uml`: User-Mode Linux, a guest kernel that is an ordinary program of the host.
 *
 * Options are those of Documentation/virt/uml/user_mode_linux_howto_v2.rst of the kernel. Hull's
 * kernel understands "/dev/fd/N" as the inherited descriptor N itself (kernel/patches), so that no
 * file system is needed to name one. Guest memory is a memfd, because the environment is empty and
 * so names no directory for temporary files.
 *
 * seccomp=off: with seccomp=on a guest's user space can reach all memory of the guest. */
#include <inttypes.h>
#include <sys/personality.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/netdevice.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/uml-kernel.h"
#include "vm/uml-plug.h"
#include "vm/uml.h"

enum {
    UML_PROCESSES_MAX = 16384, /* one of the host for each address space of the guest */
    UML_DESCRIPTORS_MAX = 512,
    UML_MTU = 1500, /* its own default is 65535 */
};

static const char *uml_program(const struct vm_files *files)
{
    return files->uml_kernel;
}

static const char *uml_kernel(const struct vm_files *files)
{
    (void)files;
    return NULL;
}

static const char *uml_initramfs(const struct vm_files *files)
{
    return files->initramfs;
}

static int uml_check(const struct vm_files *files, const char *root, struct error *err)
{
    int r;

    (void)root; /* needs no device */
    r = vm_engine_need_file(files->uml_kernel, "User-Mode Linux kernel",
                            "build it with `make kernel`", err);
    if (r < 0)
        return r;
    return vm_engine_need_file(files->initramfs, "utility VM initramfs", "hulld writes it at start",
                               err);
}

static char *uml_fault(const struct vm_files *files)
{
    return vm_uml_kernel_fault(files->uml_kernel);
}

/* d: what a disk begins with is its guest's, and names no other file (User-Mode Linux's copy on
 * write). */
static int append_disks(char ***argv, const struct vm_config *config)
{
    int r = 0;

    for (size_t i = 0; i < config->n_disks && r == 0; i++)
        r = strv_appendf(argv, "ubd%zud%s=/dev/fd/%d,,hull%zu", i,
                         config->disks[i].read_only ? "r" : "", VM_FD_DISKS + (int)i, i);
    return r;
}

char *uml_nic_option(const struct vm_nic *nic)
{
    return string_format("vec0:transport=fd,fd=%d,mtu=%u%s%s", VM_FD_NIC,
                         nic->mtu ? nic->mtu : UML_MTU, nic->mac ? ",mac=" : "",
                         string_or(nic->mac, ""));
}

static int append_nic(char ***argv, const struct vm_nic *nic)
{
    return nic->link ? strv_append_take(argv, uml_nic_option(nic)) : 0;
}

/* mem= is what the guest can be made to have, memtotal= what it has: its MemTotal. Memory that it
 * does not have costs nothing (kernel/patches). */
static int append_memory(char ***argv, const struct vm_config *config)
{
    uint64_t ceiling =
        config->memory_ceiling > config->memory ? config->memory_ceiling : config->memory;
    int r = strv_appendf(argv, "mem=%" PRIu64 "M", vm_engine_memory_mib(&vm_engine_uml, ceiling));

    return r < 0 ? r : strv_appendf(argv, "memtotal=%" PRIu64 "K", config->memory / 1024);
}

static int uml_command(const struct vm_config *config, char ***ret_argv, struct error *err)
{
    CLEANUP_STRV char **argv = NULL;
    int r;

    /* Not the name of a program that can be found: a guest that reboots makes User-Mode Linux
     * execute argv[0], and must end instead. */
    r = strv_append(&argv, "hull-vm");
    if (r == 0)
        r = strv_appendf(&argv, "umid=%s", "vm");
    if (r == 0)
        r = strv_append(&argv, "uml_dir=/run");
    if (r == 0)
        r = append_memory(&argv, config);
    if (r == 0)
        r = strv_append(&argv, "seccomp=off");
    if (r == 0)
        r = strv_appendf(&argv, "initrd=/dev/fd/%d", VM_FD_INITRAMFS);
    if (r == 0)
        r = strv_append(&argv, "con=null");
    if (r == 0)
        r = strv_append(&argv, "con0=null,fd:1");
    if (r == 0)
        r = strv_append(&argv, "ssl=null");
    if (r == 0)
        r = strv_appendf(&argv, "ssl0=fd:%d", VM_FD_LINK);
    if (r == 0)
        r = append_disks(&argv, config);
    if (r == 0)
        r = append_nic(&argv, &config->nic);
    if (r == 0)
        r = strv_append(&argv, "quiet");
    /* Delay loops are not calibrated, which takes 60 ms; nothing in this kernel delays. */
    if (r == 0)
        r = strv_append(&argv, "lpj=20000000");
    if (r == 0)
        r = strv_append(&argv, "panic=-1");
    if (r == 0)
        r = strv_append(&argv, "hull.link=ttyS0");
    if (r < 0)
        return error_oom(err);
    *ret_argv = TAKE_PTR(argv);
    return 0;
}

const struct vm_engine_ops vm_engine_uml = {
    .name = "uml",
    .one_cpu = true,
    .shares = true,
    .resizes = true,
    .filter = VM_JAIL_FILTER_UML,
    /* Else it sets this itself and executes /proc/self/exe again. */
    .personality = ADDR_NO_RANDOMIZE,
    .processes_max = UML_PROCESSES_MAX,
    .descriptors_max = UML_DESCRIPTORS_MAX,
    .overhead = 64ULL * 1024 * 1024,
    .reserved = 11844ULL * 1024,
    .program = uml_program,
    .kernel = uml_kernel,
    .initramfs = uml_initramfs,
    .check = uml_check,
    .fault = uml_fault,
    .command = uml_command,
    .open_nic = netdevice_open_packet_socket,
    .open_pooled_nic = netdevice_new_packet_socket,
    .plug = uml_plug,
    .unplug = uml_unplug,
};
