/* Changes to elements of nf_tables sets and maps, sent to the kernel in its own language: one
 * atomic batch of nfnetlink messages instead of a run of the `nft` program. Private to net/.
 *
 * Why not a library: libnftnl and libnftables are GPL-2. The protocol is in the kernel's
 * include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h; a batch is handled by nfnetlink_rcv_batch()
 * of net/netfilter/nfnetlink.c, inside sendmsg(2): whatever the kernel has to say is in the
 * socket's queue when that returns, so nothing here ever waits.
 *
 * The socket is to be kept: when one that belongs to NETLINK_NETFILTER is closed, the kernel waits
 * until what was deleted before is freed (an RCU grace period, some 15 ms). It belongs to one
 * thread at a time, and to the network namespace that it was opened in. */
#ifndef HULL_NET_ELEMENTS_H
#define HULL_NET_ELEMENTS_H

#include <stddef.h>
#include <stdint.h>

struct elements;
struct error;

enum {
    ELEMENTS_VALUE_MAX = 64,          /* NFT_DATA_VALUE_MAXLEN */
    ELEMENTS_BATCH_MAX = 1024 * 1024, /* 4096 ports of an endpoint take half of it */
    ELEMENTS_REPLY_MAX = 16 * 1024,   /* an answer to one message */
    ELEMENTS_NAME_MAX = 31,           /* of tables and sets here; the kernel takes 255 */
};

enum elements_verb {
    ELEMENTS_ADD, /* one that is there already with the same data is success */
    ELEMENTS_DELETE,
};

/* Where an element belongs. */
struct elements_set {
    uint8_t family; /* NFPROTO_* */
    const char *table;
    const char *name;
};

/* A key, or the data of a map: fields one after the other, each padded to 4 bytes as the kernel's
 * registers are. Begin with {0}. */
struct elements_value {
    uint8_t bytes[ELEMENTS_VALUE_MAX];
    size_t length;
};

/* Adds a field: `size` bytes in network order (an interface name: padded to IFNAMSIZ). More than
 * fits ends the program: the fields of a set are a fact of this source. */
void elements_field(struct elements_value *value, const void *bytes, size_t size);
void elements_field_name(struct elements_value *value, const char *interface);

int elements_open(struct elements **ret, struct error *err);
/* Accepts NULL. */
void elements_free(struct elements *elements);

/* Begins a batch; what was collected and not sent is forgotten. */
void elements_start(struct elements *elements);
/* Adds a change to the batch. `data` is of a map's element to be added, else NULL. -EOVERFLOW,
 * -ENOMEM. */
int elements_put(struct elements *elements, enum elements_verb verb, const struct elements_set *set,
                 const struct elements_value *key, const struct elements_value *data);
/* Sends it: all of it is done or nothing. An empty one is success. On failure the message holds the
 * kernel's words; -ENOENT: a table, a set or an element that was to be deleted does not exist. */
int elements_commit(struct elements *elements, struct error *err);

#endif
