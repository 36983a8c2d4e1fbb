/* Moving a container's writable layer between two kernels: the agent's part of a conversion, shared
 * by agent_layer.c, which runs a child for it, and agent_layer_child.c.
 *
 * Theory of operation. One agent sends the layer, as an archive of everything that is in overlay's
 * upper directory (TREE_WRITE_RAW), another on the other side of a VM's boundary receives it. The
 * bytes do not go over the link, which is a serial line: they go through a *ring*, a small file
 * that the host has as a file and the VM as a disk, in slots. Who drives both, the worker, asks the
 * sender to fill a slot (`layer-slot` with its number, answered with how many bytes are in it) and
 * then the receiver to take them. So nothing is buffered without limit, neither side waits for the
 * other's file system while it has slots, and a slot has one owner at a time.
 *
 * Large files need not go through it (tree-content.h): a VM says where in its disk their content
 * is, and the host copies it from the image, without a look at the file system in it; and where
 * both agents are the host's, which fill a disk that no VM has had, one reads the other's files.
 *
 * What comes out of a VM is hostile. The receiver copies a slot into memory of its own before it
 * looks at it, and then it is an archive like any other (tree-extract.h). On the host it does so in
 * a mount namespace with nothing else in it (agent_layer_jail.c), and makes no more than the
 * guest's disk can hold. */
#ifndef HULL_SANDBOX_AGENT_LAYER_H
#define HULL_SANDBOX_AGENT_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sandbox/tree-content.h"

enum {
    LAYER_SLOTS_MAX = 32,    /* fewer than WIRE_PENDING_MAX: each may have a request */
    LAYER_SLOT_ALIGN = 4096, /* a slot's size is a multiple; so disks can be read directly */
    LAYER_SLOT_MAX = 4 * 1024 * 1024,
};

/* What the child is to do. The paths are borrowed. */
struct layer_task {
    bool receive;
    char *directory; /* overlay's upper; must exist */
    char *ring;      /* file or block device */
    uint32_t slots;
    uint32_t slot_size;
    enum tree_content content;
    char *source;       /* receiver: where the content is, unless it is in the archive */
    char *disk;         /* receiver: image below the directory's file system, or NULL */
    uint64_t max_bytes; /* receiver: size of the disk that what comes was on; 0: no limit */
    bool is_guest;      /* this kernel is the VM's: nothing of the host's is there to be hidden */
};

/* agent -> child: fill this slot, or take `length` bytes from it (0: that was all). */
struct layer_command {
    uint32_t slot;
    uint32_t length;
};

/* child -> agent, one for each command in their order; LAYER_ENDED is the last, and LAYER_FAILED is
 * the last and may come unasked. */
enum layer_reply_kind { LAYER_DONE = 1, LAYER_ENDED, LAYER_FAILED };
struct layer_reply {
    uint32_t kind;
    uint32_t length;
    uint64_t entries; /* with LAYER_ENDED of a receiver */
    uint64_t bytes;
    struct error error;
};

/* agent_layer_jail.c: leaves everything but the directory behind, and returns that (O_PATH). Then,
 * with no_new_privs: all system calls that files do not need. */
int agent_layer_enter(const char *directory, struct error *err);
int agent_layer_filter(struct error *err);

/* Does it and ends. port: its end of a SOCK_SEQPACKET pair. */
_Noreturn void agent_layer_child(const struct layer_task *task, int port);

#endif
