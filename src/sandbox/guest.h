/* What pid 1 of the utility VM does around the agent: kernel file systems, modules, the link,
 * disks, clock, power. Runs on the VM's kernel only; all functions are called by hull-init.
 *
 *     guest_switch_root()    leave the initramfs's rootfs, which pivot_root(2) cannot leave
 *     guest_mount()          proc, sysfs, devtmpfs, cgroup2, run
 *     guest_load_modules()
 *     guest_open_link()      the line to the worker
 *     guest_hold()           where it is saved
 *     agent_new(... guest_prepare as agent_ops.prepare ...)
 *     guest_power_off() */
#ifndef HULL_SANDBOX_GUEST_H
#define HULL_SANDBOX_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct sandbox_root;

enum {
    GUEST_DEVICE_TIMEOUT_MS = 10000, /* for a disk or port that the kernel still looks for */
    GUEST_MODULES_MAX = 64,
    GUEST_FILES_MAX = 64,
    GUEST_FILE_SIZE_MAX = 1024 * 1024,
};

/* Where `files` of a create request appear in the VM; the worker writes the mounts' sources so. */
#define GUEST_FILES_DIR "/run/hull/files"

/* Moves "/" from the kernel's rootfs to a tmpfs of its own, with the mount points that follow. */
int guest_switch_root(struct error *err);

/* Mounts and checks each: /proc, /sys, /dev, /run, /sys/fs/cgroup. Sets the loopback interface up.
 */
int guest_mount(struct error *err);

/* Loads what modules_dir/modules.list names, one file a line, in its order. No list: nothing.
 * Before guest_switch_root(). A module that is there already is fine. */
int guest_load_modules(const char *modules_dir, struct error *err);

/* Opens what the kernel's command line names: `hull.link=ttyS0` is a terminal line, which is made
 * raw; `hull.link=port:NAME` is the virtio port NAME. Returns the descriptor or -errno. */
int guest_open_link(struct error *err);

/* In a guest that boots to be saved (`hull.hold=1` on the kernel's command line): says so on the
 * link, and waits there to be woken (wire/wake.h), which happens in every VM that is made from what
 * was saved. Then it has new random numbers and the time. Otherwise nothing. Afterwards nothing has
 * been read or said that the compute protocol would miss. */
int guest_hold(int link, struct error *err);

/* agent_ops.prepare: sets clock and hostname, writes files, mounts the disks of
 * {"type": "disks", "lower": [indices, topmost first], "scratch": index}. */
int guest_prepare(const json_t *request, struct sandbox_root *ret, void *data, struct error *err);

/* agent_ops.damage: errors that ext4 has noted in its superblock, in earlier runs or this one. */
char *guest_damage(void *data);

/* agent_ops.prepare_layer: mounts disk `scratch`, whose upper directory it is; disk `ring`. */
int guest_prepare_layer(const json_t *request, char **ret_directory, char **ret_ring, void *data,
                        struct error *err);

/* The name of disk `index` with the kernel's letters: 0 "a", 25 "z", 26 "aa". */
void guest_disk_letters(int index, char *text, size_t size);

/* Kills everything, syncs, unmounts, and switches the machine off. Does not return. */
_Noreturn void guest_power_off(void);

#endif
