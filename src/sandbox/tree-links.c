#include "sandbox/tree-links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { CAPACITY_MIN = 256 };

struct tree_link {
    uint64_t device;
    uint64_t inode;
    char *path; /* NULL: the slot is free */
};

void tree_links_release(struct tree_links *links)
{
    for (size_t i = 0; i < links->capacity; i++)
        free(links->slots[i].path);
    free(links->slots);
    *links = (struct tree_links){.slots = NULL};
}

/* The slot of this inode, or the free one where it belongs. */
static struct tree_link *find_slot(struct tree_link *slots, size_t capacity, uint64_t device,
                                   uint64_t inode)
{
    size_t i = (size_t)((inode ^ device << 7) * UINT64_C(0x9e3779b97f4a7c15) >> 16);

    for (i &= capacity - 1;; i = (i + 1) & (capacity - 1))
        if (!slots[i].path || (slots[i].inode == inode && slots[i].device == device))
            return &slots[i];
}

static int grow(struct tree_links *links)
{
    size_t capacity = links->capacity ? 2 * links->capacity : CAPACITY_MIN;
    struct tree_link *slots;

    if (links->n * 3 < links->capacity * 2)
        return 0;
    if (capacity > TREE_LINKS_MAX / sizeof(*slots))
        return -E2BIG;
    slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < links->capacity; i++) {
        const struct tree_link *old = &links->slots[i];

        if (old->path)
            *find_slot(slots, capacity, old->device, old->inode) = *old;
    }
    free(links->slots);
    links->slots = slots;
    links->capacity = capacity;
    return 0;
}

int tree_links_find(struct tree_links *links, const struct statx *st, const char *path,
                    const char **ret)
{
    uint64_t device = makedev(st->stx_dev_major, st->stx_dev_minor);
    struct tree_link *slot;
    size_t cost = strlen(path) + 1;
    int r = grow(links);

    if (r < 0)
        return r;
    slot = find_slot(links->slots, links->capacity, device, st->stx_ino);
    if (slot->path) {
        *ret = slot->path;
        return 1;
    }
    if (links->bytes + cost > TREE_LINKS_MAX)
        return -E2BIG;
    slot->path = strdup(path);
    if (!slot->path)
        return -ENOMEM;
    slot->device = device;
    slot->inode = st->stx_ino;
    links->bytes += cost;
    links->n++;
    return 0;
}
