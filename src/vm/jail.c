/* Theory of operation.
 *
 * The child of fork() may only do system calls, so everything with a name is prepared in the parent
 * (struct vm_jail), and the child walks a table of stages (jail-stages.c). How far it got is
 * written to a page that both share: process_spawn() reports an errno value only.
 *
 * Two namespaces are not the child's to make. The user namespace exists before it (jail-user.c),
 * because shares are mapped to it. And a process is in the pid namespace that its parent had ready
 * for it (unshare(2) CLONE_NEWPID), so the parent takes that step, for the time of one fork().
 *
 * All namespaces but the user namespace belong to the host's root, not to the VM's: they are made
 * before the child enters the user namespace, so that even all capabilities of that would be worth
 * nothing to the mounts, the network and the rest. */
#include "vm/jail.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/strings.h"
#include "vm/jail-internal.h"

enum { PHDRS_MAX = 128, END_TIMEOUT_MS = 5000 };

/* True if the ELF program names an interpreter, the dynamic linker, or is no ELF file at all. */
static int needs_libraries(const char *path, bool *ret, struct error *err)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr header;
    Elf64_Phdr program;

    if (fd < 0)
        return error_set_errno(err, -errno, "cannot open %s", path);
    *ret = true;
    if (fd_read_full(fd, &header, sizeof(header)) != sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_phentsize != sizeof(program) || header.e_phnum > PHDRS_MAX)
        return 0;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        off_t at = (off_t)(header.e_phoff + i * sizeof(program));

        if (pread(fd, &program, sizeof(program), at) != sizeof(program) ||
            program.p_type == PT_INTERP)
            return 0;
    }
    *ret = false;
    return 0;
}

/* A device node that its group may use (0660 root:kvm) is used by way of that group. */
static int find_device_group(struct vm_jail *jail, struct error *err)
{
    struct stat st;

    if (!jail->device)
        return 0;
    if (stat(jail->device, &st) < 0)
        return error_set_errno(err, -errno, "cannot look at %s", jail->device);
    if (!S_ISCHR(st.st_mode))
        return error_set(err, -ENODEV, "%s is not a device", jail->device);
    if ((st.st_mode & S_IRWXG) && !(st.st_mode & S_IWOTH))
        jail->device_group = st.st_gid;
    return 0;
}

static int copy_spec(struct vm_jail *jail, const struct vm_jail_spec *spec, struct error *err)
{
    jail->spec = *spec;
    jail->program = strdup(spec->program);
    jail->root = strdup(spec->root);
    jail->device = spec->device ? strdup(spec->device) : NULL;
    if (!jail->program || !jail->root || (spec->device && !jail->device))
        return error_oom(err);
    jail->spec.program = jail->program;
    jail->spec.root = jail->root;
    jail->spec.device = jail->device;
    for (size_t i = 0; i < spec->n_cgroup_procs; i++)
        jail->cgroup_procs[i] = spec->cgroup_procs[i];
    jail->spec.cgroup_procs = jail->cgroup_procs;
    snprintf(jail->run_options, sizeof(jail->run_options),
             "size=64k,nr_inodes=32,mode=0700,uid=%u,gid=%u", spec->uid, spec->gid);
    return 0;
}

static int check_spec(const struct vm_jail_spec *spec, struct error *err)
{
    uint32_t last = UINT32_MAX - VM_JAIL_IDS; /* UINT32_MAX itself is "no id" */

    if (spec->uid == 0 || spec->gid == 0 || spec->uid > last || spec->gid > last)
        return error_set(err, -EINVAL, "a utility VM cannot run as user %d, group %d",
                         (int)spec->uid, (int)spec->gid);
    if (spec->n_cgroup_procs > VM_JAIL_CGROUPS_MAX)
        return error_set(err, -E2BIG, "more than %d cgroups", VM_JAIL_CGROUPS_MAX);
    return 0;
}

/* What needs the kernel and not the file system. */
static int make_parts(struct vm_jail *jail, struct error *err)
{
    size_t n = vm_jail_filter_build(jail->spec.filter, jail->spec.files, jail->filter);

    jail->filter_program = (struct sock_fprog){.len = (unsigned short)n, .filter = jail->filter};
    jail->shared = mmap(NULL, sizeof(*jail->shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jail->shared == MAP_FAILED) {
        jail->shared = NULL;
        return error_oom(err);
    }
    jail->parent = (int)syscall(SYS_pidfd_open, getpid(), 0); /* CLOEXEC by definition */
    if (jail->parent < 0)
        return error_set_errno(err, -errno, "cannot hold this process");
    jail->user_namespace =
        jail_make_user_namespace(jail->spec.uid, jail->spec.gid, &jail->user_namespace_maker, err);
    return jail->user_namespace < 0 ? jail->user_namespace : 0;
}

DEFINE_CLEANUP(struct vm_jail *, cleanup_jail, vm_jail_free)

int vm_jail_new(const struct vm_jail_spec *spec, struct vm_jail **ret, struct error *err)
{
    CLEANUP(cleanup_jail) struct vm_jail *jail = NULL;
    int r = check_spec(spec, err);

    if (r < 0)
        return r;
    jail = calloc(1, sizeof(*jail));
    if (!jail)
        return error_oom(err);
    jail->user_namespace = -EBADF;
    jail->parent = -EBADF;
    r = copy_spec(jail, spec, err);
    if (r == 0)
        r = needs_libraries(spec->program, &jail->usr, err);
    if (r == 0)
        r = find_device_group(jail, err);
    if (r == 0)
        r = make_parts(jail, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(jail);
    return 0;
}

struct vm_jail *vm_jail_free(struct vm_jail *jail)
{
    if (!jail)
        return NULL;
    for (size_t i = 0; i < jail->n_shares; i++)
        fd_close(jail->shares[i].mount);
    if (jail->shared)
        munmap(jail->shared, sizeof(*jail->shared));
    jail_end_maker(jail->user_namespace_maker);
    fd_close(jail->user_namespace);
    fd_close(jail->parent);
    free(jail->program);
    free(jail->root);
    free(jail->device);
    free(jail);
    return NULL;
}

int vm_jail_user_namespace(const struct vm_jail *jail)
{
    return jail->user_namespace;
}

int vm_jail_share(struct vm_jail *jail, unsigned index, bool directory, int mount,
                  struct error *err)
{
    CLEANUP_CLOSE int owned = mount;
    struct jail_share *share = &jail->shares[jail->n_shares];

    if (!jail->spec.files)
        return error_set(err, -EINVAL, "this jail has no shares");
    if (jail->n_shares >= VM_SHARES_MAX || index >= VM_SHARES_MAX)
        return error_set(err, -E2BIG, "more than %d shares", VM_SHARES_MAX);
    vm_share_path(directory ? VM_SHARE_DIRECTORY : VM_SHARE_FILE, index, share->path, share->target,
                  sizeof(share->path));
    share->mount = TAKE_FD(owned);
    jail->n_shares++;
    return 0;
}

/* The process is the first of a pid namespace. unshare(2) says which one the children to come are
 * in, so it is undone at once; were that not possible, this thread could start nothing any more. */
static int spawn_first(const struct vm_jail *jail, const struct process_spec *spec,
                       struct process *ret, struct error *err)
{
    struct process process = PROCESS_INIT;
    int back;
    int r;

    if (unshare(CLONE_NEWPID) < 0)
        return error_set_errno(err, -errno, "cannot make a pid namespace");
    r = process_spawn(spec, &process, err);
    back = setns(jail->parent, CLONE_NEWPID) < 0 ? -errno : 0;
    if (r == 0 && back < 0) {
        (void)process_signal(&process, SIGKILL);
        (void)process_wait_timeout(&process, END_TIMEOUT_MS, NULL);
        process_release(&process);
        return error_set_errno(err, back, "cannot return to the host's pid namespace");
    }
    if (r == 0)
        *ret = process;
    return r;
}

int vm_jail_spawn(struct vm_jail *jail, const struct process_spec *spec, struct process *ret,
                  struct error *err)
{
    struct process_spec inside = *spec;
    const char *stage;
    int r;

    inside.path = VM_JAIL_PROGRAM;
    inside.prepare = jail_enter;
    inside.prepare_data = jail;
    r = spawn_first(jail, &inside, ret, err);
    stage = r < 0 ? jail_failure(jail) : NULL;
    return stage ? error_set_errno(err, r, "the VMM's jail cannot %s", stage) : r;
}
