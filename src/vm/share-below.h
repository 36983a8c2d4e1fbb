/* What is mounted on the host below a directory that is shared: a share is one mount, and these
 * are more of them, attached below it in the jail, where the guest finds them as the host does. */
#ifndef HULL_VM_SHARE_BELOW_H
#define HULL_VM_SHARE_BELOW_H

#include <stdbool.h>
#include <stddef.h>

struct error;

enum { VM_BELOW_MAX = 256 }; /* of one share */

struct vm_below {
    int fd;       /* O_PATH, or -errno: it is there and cannot be opened */
    char *path;   /* relative to the share's directory; no links, no dots */
    bool covered; /* its owner's: something empty is in its place */
};

struct vm_below_list {
    struct vm_below *items;
    size_t n;
};

/* Finds them for the directory `fd`, in an order in which they can be attached, from
 * /proc/self/mountinfo (proc(5)). Not those that are hidden by others, and not the kernel's own
 * views (proc, sysfs, cgroup2, devpts, ...), of which the guest has its own. No file system is
 * asked for anything: one whose server does not answer holds nobody up. `name` is for messages.
 * *ret_list is to be released, soon: what it holds cannot be unmounted on the host. */
int vm_share_find_below(int fd, const char *name, struct vm_below_list *ret_list,
                        struct error *err);
void vm_below_release(struct vm_below_list *list);

#endif
