/* A utility VM: a VMM process of its own user with its own kernel, whose pid 1 is hull-init.
 *
 *     vm_start(&config, loop, &events, &vm, err)
 *     vm_link(vm)                     the serial line to hull-init: speak the compute protocol
 * there
 *     ... events->ended(vm, reason) when the VMM process is gone, however that came about ...
 *     vm_free(vm)
 *
 * The guest speaks first: what the host sends before it has read the guest's hello may be echoed or
 * lost, because the guest's end is a terminal line until hull-init has made it raw.
 *
 * The VM never sees a path of the host: disks, NIC and serial line come to the VMM as open
 * descriptors (vm/engine.h numbers them), and its root directory is empty (vm/jail.h). Everything
 * read from it is hostile.
 *
 * On the guest kernel's command line hull-init finds
 *     hull.link=ttyS0                        User-Mode Linux: the serial line /dev/ttyS0
 *     hull.link=port:hull                    QEMU: the virtio-serial port whose `name` is "hull"
 * Disks are /dev/ubda, /dev/ubdb, ... and /dev/vda, /dev/vdb, ... in the order of `disks`. */
#ifndef HULL_VM_VM_H
#define HULL_VM_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vm/share.h"

struct error;
struct loop;
struct vm;

enum vm_engine { VM_ENGINE_KVM, VM_ENGINE_UML, VM_ENGINE_TCG, VM_ENGINE_MAX };
const char *vm_engine_to_string(enum vm_engine engine); /* "kvm", "uml", "tcg" */
int vm_engine_from_string(const char *text);            /* -EINVAL; "auto" is not one */

enum {
    VM_DISKS_MAX = 16,
    VM_MEMORY_MIN = 48 * 1024 * 1024,
    VM_CONSOLE_MAX = 256 * 1024, /* size of the console's file; it holds the last bytes, at least
                                  * half as many */
    VM_REASON_MAX = 512,         /* longest reason given to ended(), with its NUL */
    VM_CPUS_MAX = 64,
};
#define VM_MEMORY_DEFAULT (1024ULL * 1024 * 1024)
#define VM_SCRATCH_DEFAULT (20ULL * 1024 * 1024 * 1024)

/* How a link-layer interface reaches the VMM: User-Mode Linux takes an AF_PACKET socket bound to
 * `link`, QEMU a tap device of that name. */
struct vm_nic {
    const char *link; /* NULL: no NIC */
    const char *mac;
    unsigned mtu; /* of User-Mode Linux's interface; 0: 1500 */
};

struct vm_disk {
    const char *path;
    bool read_only;
};

/* Where programs and guest kernels are. All paths absolute; NULL where there is none. */
struct vm_files {
    const char *uml_kernel;    /* User-Mode Linux executable */
    const char *x86_kernel;    /* vmlinuz or vmlinux for QEMU */
    const char *initramfs;     /* cpio with hull-init as /init (made by vm_initramfs_write) */
    const char *x86_initramfs; /* the same plus kernel modules; NULL: `initramfs` */
    const char *qemu;          /* qemu-system-x86_64 */
    const char *virtiofsd;     /* for the shares of QEMU's guests */
};

/* A saved VM, as descriptors: vm/template.h. */
struct vm_template {
    int memory; /* a memfd; while it is made writable, afterwards sealed */
    int state;  /* everything else; where it is made -EBADF */
};

struct vm_config {
    const char *id; /* container id */
    enum vm_engine engine;
    struct vm_files files;
    uint64_t memory;                    /* bytes of guest memory */
    uint64_t memory_ceiling;            /* bytes it can be made to have; 0: vm_start() chooses */
    double cpus;                        /* 0: one virtual CPU, uncapped */
    struct vm_disk disks[VM_DISKS_MAX]; /* in the order in which the guest numbers them from 0 */
    size_t n_disks;
    struct vm_nic nic;
    const char *console_path; /* bounded file of the guest's console, made 0600 */
    const char *runtime_dir;  /* an existing directory of this VM's own; its jail is mounted there,
                               * which only the VMM sees */
    const char *cgroup; /* path below the cgroup mounts that the VMM is to be in, made here and
                         * removed by vm_free(); or NULL */
    /* The user that the VMM runs as, and the first of the VM_JAIL_IDS (vm/jail.h) that are this
     * VM's alone; likewise the group. Never 0. */
    uid_t uid;
    gid_t gid;
    /* Directories and files of the host for the guest, as shares 0, 1, ... (vm/share.h). User-Mode
     * Linux keeps the right to be root of them; QEMU, which then is neither `pooled` nor made from
     * a template, has a file server of its own for them (vm/file-server.h). */
    const struct vm_share *shares;
    size_t n_shares;
    bool shares_later; /* there may be more: vm_attach_share(), vm_attach_disk() */
    /* Started for a container that is not known yet: no disks and NIC are given here, they come by
     * vm_plug() (vm/plug.h). Unless with shares_later it is not for a container that has shares. */
    bool pooled;
    bool background; /* vm_set_background(), from its first instruction on */
    /* Borrowed; only with `pooled`. With `state` the guest is not booted but woken where it was
     * saved, which must have been with the same engine, files, memory and cpus; without, it boots,
     * to be saved. */
    const struct vm_template *template;
};

struct vm_events {
    /* The VMM process ended. `reason` says why in words ("killed by signal 9", "guest panic: ...",
     * "powered off"); `clean` is true after an orderly power-off. Called once, from the loop. */
    void (*ended)(struct vm *vm, bool clean, const char *reason, void *data);
    void *data;
};

/* Starts the VMM, jailed, and returns at once; the guest's first bytes on the link say that it is
 * up. The config and what it points to may be freed afterwards. The VMM dies with the calling
 * thread. Needs root; what the jail cannot have is an error, never a weaker jail. */
int vm_start(const struct vm_config *config, struct loop *loop, const struct vm_events *events,
             struct vm **ret, struct error *err);

/* Non-blocking stream to and from hull-init; owned by the vm. */
int vm_link(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);

/* Opens the management console of a User-Mode Linux VM (mconsole: hot plug, stop, continue): an
 * O_PATH descriptor of the unix datagram socket in the VMM's own file system, to be addressed as
 * /proc/self/fd/N. It answers to the sender's address, which must therefore mean something where
 * the VMM is: an abstract one in its network namespace. -EOPNOTSUPP with QEMU, -ENOENT while the
 * guest is too young to have one, -EINVAL if the VMM has put something else there. */
int vm_open_management(const struct vm *vm, struct error *err);

/* While nobody waits for the VM: it gets what CPU time others leave, by weight and by nice value.
 * What cannot be set is left. */
void vm_set_background(struct vm *vm, bool background);

/* Puts one more file or directory into the jail of a VM that was started with `shares_later`, as
 * share or disk `index` (vm/share.h), of the caller's choice and below VM_SHARES_MAX; the guest, or
 * the management console, is told by the caller. *ret_kind (may be NULL): whether the share is a
 * file or a directory. -EOPNOTSUPP for another VM, -EEXIST if the index is taken, and as
 * vm_share_mount(). What is there stays until the VM ends. */
int vm_attach_share(struct vm *vm, unsigned index, const struct vm_share *share,
                    enum vm_share_kind *ret_kind, struct error *err);
int vm_attach_disk(struct vm *vm, unsigned index, const struct vm_share *disk, struct error *err);
/* What is mounted below the directory of share `index` on the host (vm/share-below.h), at `path`
 * relative to it. */
int vm_attach_below(struct vm *vm, unsigned index, const char *path, const struct vm_share *share,
                    struct error *err);
/* Something empty in its place (vm_share_cover_below()). */
int vm_cover_below(struct vm *vm, unsigned index, const char *path, struct error *err);

/* Can a VM of this engine be started as `pooled`? */
bool vm_can_pool(enum vm_engine engine);
/* Is the NIC a packet socket, at one end of a veth pair? Else it is a tap device. */
bool vm_nic_is_socket(enum vm_engine engine);

/* How the guest of this engine mounts share `index`: the type of file system, and its source; NULL:
 * the engine shares nothing with its guest. With "virtiofs" it is one file system for all of them,
 * share `index` being the directory of that name in it. */
enum { VM_SHARE_SOURCE_MAX = 32 };
#define VM_SHARES_TAG "hull"
const char *vm_share_source(enum vm_engine engine, unsigned index, char ret[VM_SHARE_SOURCE_MAX]);
/* Has the host what the shares of this engine's guests need? 0, or an error for users that says
 * what to install (ERROR_UNAVAILABLE). */
int vm_check_shares(enum vm_engine engine, const struct vm_files *files, struct error *err);

/* What the guest's kernel said when one of its disks failed, because the host's is full or worse,
 * or because what is on it is damaged; NULL: nothing. */
const char *vm_disk_error(const struct vm *vm);

/* Can the memory of a running guest be changed (through hull-init's `update` request)? */
bool vm_resizes_memory(enum vm_engine engine);
/* Bytes up to which this VM's memory can be changed, or what it has where it cannot. */
uint64_t vm_memory_ceiling(const struct vm *vm);

/* Changes the limits that the VM's cgroup holds from outside to what a guest with `memory` bytes
 * and `cpus` processors (0: no limit) needs; without a cgroup nothing. Raise before the guest is
 * told, and lower after. -EBUSY: the VMM uses more than that now, and nothing is changed. */
int vm_limit(struct vm *vm, uint64_t memory, double cpus, struct error *err);

/* Hands a VM over to a container that was not known when it was started: its cgroup, in the same
 * directory, and its console's file get other paths (NULL: as they are), and the limits are set as
 * by vm_limit(). */
int vm_rename(struct vm *vm, const char *cgroup, const char *console_path, uint64_t memory,
              double cpus, struct error *err);

/* Ends the VM at once (SIGKILL); ended() follows. `reason` becomes part of what it is told. */
void vm_kill(struct vm *vm, const char *reason);

/* Asks the VMM to end in its own time: presses the guest's power button (QEMU); User-Mode Linux has
 * none: -EOPNOTSUPP. hull-init's `shutdown` request is the usual way to end a VM in order. */
int vm_power_down(struct vm *vm, struct error *err);

/* Number of virtual CPUs the engine gives for this request, and a warning when that is fewer than
 * asked (User-Mode Linux with its memory boundary on has one). *ret_warning malloc'd or NULL. */
int vm_cpus(enum vm_engine engine, double cpus, char **ret_warning);

/* Kills the VMM and every process of its user, waits for them, removes its cgroup. ended() is not
 * called any more. May be called from ended(). NULL is fine. Returns NULL. */
struct vm *vm_free(struct vm *vm);

#endif
