/* Events: a ring of the last ones, and subscribers with a bounded queue each.
 *
 * A subscriber that does not read loses its oldest events, never the engine's memory. The bus has a
 * lock of its own, taken last of all. */
#include <stdint.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"

enum { EVENTS_KEPT = 256, EVENTS_QUEUED_MAX = 1024 };

struct event_bus {
    pthread_mutex_t lock;
    json_t *kept[EVENTS_KEPT]; /* a ring: kept[next] is the oldest */
    size_t next;
    struct list subscribers;
};

struct engine_subscription {
    struct event_bus *bus;
    struct list node;
    json_t *filters;
    int64_t until;
    json_t *queue; /* array, oldest first */
    int fd;        /* timerfd: expires at `until`, and at once when there is an event */
};

struct event_bus *event_bus_new(void)
{
    struct event_bus *bus = calloc(1, sizeof(*bus));
    if (!bus)
        return NULL;
    pthread_mutex_init(&bus->lock, NULL);
    list_init(&bus->subscribers);
    return bus;
}

struct event_bus *event_bus_free(struct event_bus *bus)
{
    if (!bus)
        return NULL;
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        json_decref(bus->kept[i]);
    pthread_mutex_destroy(&bus->lock);
    free(bus);
    return NULL;
}

/* --- filters --- */

static bool actor_matches(const json_t *event, const json_t *filters, const char *type)
{
    CLEANUP_STRV char **wanted = NULL;
    if (!json_object_get(filters, type))
        return true;
    const json_t *actor = json_object_get(event, "Actor");
    const char *id = json_string_value(json_object_get(actor, "ID"));
    const json_t *attributes = json_object_get(actor, "Attributes");
    const char *name = json_string_value(json_object_get(attributes, "name"));
    if (!string_equal(json_string_value(json_object_get(event, "Type")), type) ||
        filter_values(filters, type, &wanted, NULL) < 0)
        return false;
    for (char **value = wanted; value && *value; value++)
        if (string_equal(*value, name) || (id && string_starts_with(id, *value)))
            return true;
    return false;
}

static bool event_name_matches(const json_t *event, const json_t *filters)
{
    CLEANUP_STRV char **wanted = NULL;
    if (!json_object_get(filters, "event"))
        return true;
    const char *action = json_string_value(json_object_get(event, "Action"));
    if (!action || filter_values(filters, "event", &wanted, NULL) < 0)
        return false;
    /* "exec_start" matches "exec_start: ls". */
    for (char **value = wanted; value && *value; value++) {
        size_t length = strlen(*value);
        if (strncmp(action, *value, length) == 0 && (!action[length] || action[length] == ':'))
            return true;
    }
    return false;
}

static bool event_matches(const json_t *event, const json_t *filters)
{
    const json_t *attributes = json_object_get(json_object_get(event, "Actor"), "Attributes");
    if (!filters)
        return true;
    return filter_match(filters, "type", json_string_value(json_object_get(event, "Type"))) &&
           filter_match(filters, "scope", "local") && event_name_matches(event, filters) &&
           actor_matches(event, filters, "container") && actor_matches(event, filters, "image") &&
           actor_matches(event, filters, "network") && actor_matches(event, filters, "volume") &&
           filter_match_labels(filters, "label", attributes);
}

/* --- emission --- */

/* Makes the descriptor readable at `when`; 1: now, 0: not at all. */
static void subscription_wake_at(const struct engine_subscription *subscription, int64_t when)
{
    const struct itimerspec timer = {
        .it_value = {.tv_sec = when / 1000000000, .tv_nsec = when % 1000000000}};
    (void)timerfd_settime(subscription->fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void subscription_push(struct engine_subscription *subscription, json_t *event)
{
    if (!event_matches(event, subscription->filters))
        return;
    if (json_array_size(subscription->queue) >= EVENTS_QUEUED_MAX)
        (void)json_array_remove(subscription->queue, 0);
    (void)json_array_append(subscription->queue, event);
    subscription_wake_at(subscription, 1);
}

static void event_publish(struct event_bus *bus, json_t *event)
{
    pthread_mutex_lock(&bus->lock);
    json_decref(bus->kept[bus->next]);
    bus->kept[bus->next] = json_incref(event);
    bus->next = (bus->next + 1) % EVENTS_KEPT;
    LIST_FOR_EACH (subscription, &bus->subscribers, struct engine_subscription, node)
        subscription_push(subscription, event);
    pthread_mutex_unlock(&bus->lock);
}

void engine_emit(struct engine *engine, const char *type, const char *action, const char *actor_id,
                 json_t *attributes)
{
    int64_t now = timestamp_now();
    if (!attributes)
        attributes = json_object();
    CLEANUP_JSON json_t *event =
        json_pack("{s:s, s:s, s:{s:s, s:o}, s:s, s:I, s:I}", "Type", type, "Action", action,
                  "Actor", "ID", actor_id, "Attributes", attributes, "scope", "local", "time",
                  (json_int_t)(now / 1000000000), "timeNano", (json_int_t)now);
    if (!event)
        return;
    /* The members that clients older than the Actor read. */
    if (string_equal(type, "container") || string_equal(type, "image")) {
        (void)json_put_string(event, "status", action);
        (void)json_put_string(event, "id", actor_id);
    }
    if (string_equal(type, "container"))
        (void)json_put(event, "from", json_incref(json_object_get(attributes, "image")));
    event_publish(engine->events, event);
}

void engine_emit_container_locked(struct engine *engine, const struct container *container,
                                  const char *action, json_t *extra)
{
    json_t *labels = json_object_get(container->config, "Labels");
    json_t *attributes = json_is_object(labels) ? json_copy(labels) : json_object();
    if (attributes) {
        (void)json_put_string(attributes, "image", container->image_name);
        (void)json_put_string(attributes, "name", container->name);
        if (extra)
            (void)json_object_update(attributes, extra);
    }
    json_decref(extra);
    engine_emit(engine, "container", action, container->id, attributes);
}

void engine_emit_container(struct engine *engine, const struct container *container,
                           const char *action, json_t *extra)
{
    ENGINE_STATE(engine);
    engine_emit_container_locked(engine, container, action, extra);
}

void engine_image_event(struct engine *engine, const char *action, const char *image_id,
                        const char *reference)
{
    engine_emit(engine, "image", action, image_id,
                json_pack("{s:s}", "name", string_or(reference, image_id)));
}

/* --- subscriptions --- */

static void replay(struct engine_subscription *subscription, int64_t since)
{
    struct event_bus *bus = subscription->bus;
    for (size_t i = 0; i < EVENTS_KEPT; i++) {
        json_t *event = bus->kept[(bus->next + i) % EVENTS_KEPT];
        int64_t when = json_integer_value(json_object_get(event, "timeNano"));
        if (event && when >= since && (!subscription->until || when <= subscription->until))
            subscription_push(subscription, event);
    }
}

int engine_events_subscribe(struct engine *engine, int64_t since, int64_t until,
                            const json_t *filters, struct engine_subscription **ret,
                            struct error *err)
{
    static const char *const known[] = {"container", "event",  "image", "label",
                                        "network",   "type",   "scope", "daemon",
                                        "volume",    "plugin", NULL};
    int r = filter_check_names(filters, known, err);
    if (r < 0)
        return r;
    struct engine_subscription *subscription = calloc(1, sizeof(*subscription));
    if (!subscription)
        return error_oom(err);
    subscription->bus = engine->events;
    subscription->until = until;
    subscription->filters = filters ? json_deep_copy(filters) : NULL;
    subscription->queue = json_array();
    subscription->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    list_init(&subscription->node);
    if (!subscription->queue || subscription->fd < 0) {
        engine_events_unsubscribe(subscription);
        return error_oom(err);
    }
    pthread_mutex_lock(&engine->events->lock);
    subscription_wake_at(subscription, until);
    if (since)
        replay(subscription, since);
    list_append(&engine->events->subscribers, &subscription->node);
    pthread_mutex_unlock(&engine->events->lock);
    *ret = subscription;
    return 0;
}

int engine_events_fd(const struct engine_subscription *subscription)
{
    return subscription->fd;
}

int engine_events_next(struct engine_subscription *subscription, json_t **ret)
{
    int r = 0;
    pthread_mutex_lock(&subscription->bus->lock);
    if (json_array_size(subscription->queue) > 0) {
        *ret = json_incref(json_array_get(subscription->queue, 0));
        (void)json_array_remove(subscription->queue, 0);
        r = 1;
    } else {
        subscription_wake_at(subscription, subscription->until);
        if (subscription->until && timestamp_now() >= subscription->until)
            r = -ENODATA;
    }
    pthread_mutex_unlock(&subscription->bus->lock);
    return r;
}

struct engine_subscription *engine_events_unsubscribe(struct engine_subscription *subscription)
{
    if (!subscription)
        return NULL;
    pthread_mutex_lock(&subscription->bus->lock);
    list_remove(&subscription->node);
    pthread_mutex_unlock(&subscription->bus->lock);
    json_decref(subscription->filters);
    json_decref(subscription->queue);
    fd_close(subscription->fd);
    free(subscription);
    return NULL;
}
