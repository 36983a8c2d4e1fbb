#include "net/elements.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdbool.h>

enum {
    EXTACK_MAX = 256,
    /* One message: headers, two names, a key, data, and seven attributes around them. */
    MESSAGE_MAX = 512,
};

struct elements {
    int fd;
    uint32_t sequence; /* of the last message made */
    uint32_t first;    /* of the batch: the one that begins it */
    size_t last;       /* where in the batch the last change begins; 0: none yet */
    struct buffer batch;
    char reply[ELEMENTS_REPLY_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* --- values --- */

void elements_field(struct elements_value *value, const void *bytes, size_t size)
{
    size_t padded = NLA_ALIGN(size);

    if (padded > sizeof(value->bytes) - value->length)
        abort();
    memset(value->bytes + value->length, 0, padded);
    memcpy(value->bytes + value->length, bytes, size);
    value->length += padded;
}

void elements_field_name(struct elements_value *value, const char *interface)
{
    char name[IF_NAMESIZE] = "";

    memcpy(name, interface, strnlen(interface, sizeof(name) - 1));
    elements_field(value, name, sizeof(name));
}

/* --- messages --- */

struct message {
    struct nlmsghdr header;
    char body[MESSAGE_MAX] __attribute__((aligned(NLMSG_ALIGNTO)));
};

/* The attributes are of bounded size, so that running out of space is a mistake in this file. */
static void *message_reserve(struct message *message, size_t length)
{
    size_t start = NLMSG_ALIGN(message->header.nlmsg_len);

    if (start + NLMSG_ALIGN(length) > sizeof(*message))
        abort();
    message->header.nlmsg_len = (uint32_t)(start + NLMSG_ALIGN(length));
    return (char *)message + start;
}

static void message_start(struct message *message, struct elements *elements, uint16_t type,
                          uint16_t flags, uint8_t family, uint16_t resource)
{
    struct nfgenmsg *general;

    *message = (struct message){
        .header = {.nlmsg_len = NLMSG_HDRLEN,
                   .nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                   .nlmsg_seq = ++elements->sequence},
    };
    general = message_reserve(message, sizeof(*general));
    *general = (struct nfgenmsg){
        .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
}

static void message_put(struct message *message, uint16_t type, const void *data, size_t length)
{
    struct nlattr *attribute = message_reserve(message, NLA_HDRLEN + length);

    attribute->nla_type = type;
    attribute->nla_len = (uint16_t)(NLA_HDRLEN + length);
    if (length > 0)
        memcpy((char *)attribute + NLA_HDRLEN, data, length);
}

static size_t message_nest(struct message *message, uint16_t type)
{
    size_t start = message->header.nlmsg_len;

    message_put(message, type | NLA_F_NESTED, NULL, 0);
    return start;
}

static void message_unnest(struct message *message, size_t start)
{
    struct nlattr *attribute = (struct nlattr *)(void *)((char *)message + start);

    attribute->nla_len = (uint16_t)(message->header.nlmsg_len - start);
}

static void message_put_value(struct message *message, uint16_t type,
                              const struct elements_value *value)
{
    size_t nest = message_nest(message, type);

    message_put(message, NFTA_DATA_VALUE, value->bytes, value->length);
    message_unnest(message, nest);
}

/* --- batch --- */

int elements_open(struct elements **ret, struct error *err)
{
    CLEANUP_FREE struct elements *elements = calloc(1, sizeof(*elements));
    int limit = ELEMENTS_BATCH_MAX;
    int on = 1;

    if (!elements)
        return error_oom(err);
    elements->batch = (struct buffer)BUFFER_INIT(ELEMENTS_BATCH_MAX);
    elements->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (elements->fd < 0)
        return error_set_errno(err, -errno, "cannot open an nfnetlink socket");
    /* A batch is one datagram. Without the right to raise the limit an uncommonly long one fails.
     */
    (void)setsockopt(elements->fd, SOL_SOCKET, SO_SNDBUFFORCE, &limit, sizeof(limit));
    (void)setsockopt(elements->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    (void)setsockopt(elements->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    *ret = TAKE_PTR(elements);
    return 0;
}

void elements_free(struct elements *elements)
{
    if (!elements)
        return;
    fd_close(elements->fd);
    buffer_release(&elements->batch);
    free(elements);
}

void elements_start(struct elements *elements)
{
    buffer_clear(&elements->batch);
    elements->last = 0;
}

static int append(struct elements *elements, const struct message *message)
{
    return buffer_append(&elements->batch, message, message->header.nlmsg_len);
}

int elements_put(struct elements *elements, enum elements_verb verb, const struct elements_set *set,
                 const struct elements_value *key, const struct elements_value *data)
{
    bool add = verb == ELEMENTS_ADD;
    struct message message;
    size_t at;
    size_t list;
    size_t element;
    int r = 0;

    if (strlen(set->table) > ELEMENTS_NAME_MAX || strlen(set->name) > ELEMENTS_NAME_MAX)
        return -ENAMETOOLONG;
    if (elements->batch.length == 0) {
        message_start(&message, elements, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
        elements->first = elements->sequence;
        r = append(elements, &message);
    }
    message_start(&message, elements,
                  (NFNL_SUBSYS_NFTABLES << 8) | (add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM),
                  add ? NLM_F_CREATE : 0, set->family, 0);
    message_put(&message, NFTA_SET_ELEM_LIST_TABLE, set->table, strlen(set->table) + 1);
    message_put(&message, NFTA_SET_ELEM_LIST_SET, set->name, strlen(set->name) + 1);
    list = message_nest(&message, NFTA_SET_ELEM_LIST_ELEMENTS);
    element = message_nest(&message, NFTA_LIST_ELEM);
    message_put_value(&message, NFTA_SET_ELEM_KEY, key);
    if (data)
        message_put_value(&message, NFTA_SET_ELEM_DATA, data);
    message_unnest(&message, element);
    message_unnest(&message, list);
    at = elements->batch.length;
    if (r == 0)
        r = append(elements, &message);
    if (r == 0)
        elements->last = at;
    return r;
}

/* --- answers --- */

/* The text of an extended acknowledgement (NLMSGERR_ATTR_MSG), "" if there is none. */
static void extack_text(struct nlmsghdr *header, size_t length, char ret[EXTACK_MAX])
{
    const struct nlmsgerr *answer = NLMSG_DATA(header);
    const char *bytes = (const char *)header;
    size_t offset = NLMSG_HDRLEN + sizeof(*answer);

    ret[0] = '\0';
    if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(header->nlmsg_flags & NLM_F_CAPPED)) {
        if (answer->msg.nlmsg_len < sizeof(answer->msg) || answer->msg.nlmsg_len > length)
            return;
        offset += NLMSG_ALIGN(answer->msg.nlmsg_len - sizeof(answer->msg));
    }
    while (offset + NLA_HDRLEN <= length) {
        struct nlattr attribute;
        size_t text;

        memcpy(&attribute, bytes + offset, sizeof(attribute));
        if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > length - offset)
            return;
        text = attribute.nla_len - NLA_HDRLEN;
        if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG) {
            text = text < EXTACK_MAX ? text : EXTACK_MAX - 1;
            memcpy(ret, bytes + offset + NLA_HDRLEN, text);
            ret[text] = '\0';
        }
        offset += NLA_ALIGN(attribute.nla_len);
    }
}

struct verdict {
    int code; /* of the first failure; 0: none */
    bool acknowledged;
    char text[EXTACK_MAX];
};

/* Looks at one message. After a first failure the kernel goes on only to find more of them. */
static void take(const struct elements *elements, struct nlmsghdr *header, struct verdict *verdict)
{
    const struct nlmsgerr *answer = NLMSG_DATA(header);

    if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(*answer)) ||
        header->nlmsg_seq - elements->first > elements->sequence - elements->first)
        return;
    if (answer->error == 0)
        verdict->acknowledged = true; /* only the last change asks for it */
    else if (verdict->code == 0) {
        verdict->code = answer->error;
        extack_text(header, header->nlmsg_len, verdict->text);
    }
}

/* Reads the queue until it is empty. */
static void take_all(struct elements *elements, struct verdict *verdict)
{
    for (;;) {
        struct sockaddr_nl from = {0};
        socklen_t from_length = sizeof(from);
        struct nlmsghdr *header = (struct nlmsghdr *)(void *)elements->reply;
        ssize_t n = recvfrom(elements->fd, elements->reply, sizeof(elements->reply), MSG_DONTWAIT,
                             (struct sockaddr *)&from, &from_length);
        size_t length = n > 0 ? (size_t)n : 0;

        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n < 0 && errno != EINTR && errno != ENOBUFS) {
            verdict->code = -errno;
            return;
        }
        /* Answers were lost: there are so many only where much has failed. */
        if (n < 0 && errno == ENOBUFS && verdict->code == 0)
            verdict->code = -ENOBUFS;
        if (n < 0 || from_length != sizeof(from) || from.nl_pid != 0)
            continue;
        for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length))
            take(elements, header, verdict);
    }
}

static int send_batch(struct elements *elements)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t n;

    do
        n = sendto(elements->fd, elements->batch.data, elements->batch.length, 0,
                   (struct sockaddr *)&kernel, sizeof(kernel));
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

int elements_commit(struct elements *elements, struct error *err)
{
    struct verdict verdict = {0};
    struct message message;
    int r;

    if (elements->last == 0)
        return 0;
    ((struct nlmsghdr *)(void *)(elements->batch.data + elements->last))->nlmsg_flags |= NLM_F_ACK;
    message_start(&message, elements, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    r = append(elements, &message);
    if (r == 0)
        r = send_batch(elements);
    elements_start(elements);
    if (r < 0)
        return error_set_errno(err, r, "cannot send a change to the packet filter");
    take_all(elements, &verdict);
    if (verdict.code == 0 && !verdict.acknowledged)
        verdict.code = -EPROTO;
    if (verdict.code == 0)
        return 0;
    return error_set(err, verdict.code, "cannot change the packet filter: %s%s%s%s",
                     strerror(-verdict.code), verdict.text[0] ? " (" : "", verdict.text,
                     verdict.text[0] ? ")" : "");
}
