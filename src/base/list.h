/* Intrusive doubly linked list with a sentinel head, in the shape of queue(7)'s TAILQ but typed by
 * LIST_ENTRY(). */
#ifndef HULL_BASE_LIST_H
#define HULL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *previous;
};

#define LIST_INIT(head)                      \
    {                                        \
        .next = &(head), .previous = &(head) \
    }
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
/* Safe against removal of `item` in the body. */
#define LIST_FOR_EACH(item, head, type, member)                            \
    for (type *item = LIST_ENTRY((head)->next, type, member),              \
              *item##_next_ = LIST_ENTRY(item->member.next, type, member); \
         &item->member != (head);                                          \
         item = item##_next_, item##_next_ = LIST_ENTRY(item->member.next, type, member))

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->previous = head->previous;
    node->next = head;
    head->previous->next = node;
    head->previous = node;
}

/* The node may be removed twice. */
static inline void list_remove(struct list *node)
{
    node->previous->next = node->next;
    node->next->previous = node->previous;
    list_init(node);
}

#endif
