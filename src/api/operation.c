#include "api/operation.h"

#include "api/jsonmessage.h"
#include "api/reply.h"
#include "api/request.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/fd.h"
#include "image/image.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct operation {
    operation_run *run;
    void (*release)(void *data);
    void *data;
    pthread_t thread;
    atomic_bool is_cancelled;
    int event_fd; /* readable when output or the end may be there */
    pthread_mutex_t lock;
    /* --- under the lock --- */
    struct buffer output;
    bool is_over;
    bool has_told_error;
    int result;
    struct error error; /* when result < 0 */
};

static void signal_change(const struct operation *operation)
{
    const uint64_t one = 1;

    (void)fd_write_full(operation->event_fd, &one, sizeof(one));
}

static void report(void *data, const struct image_progress_event *event)
{
    struct operation *operation = data;
    bool is_progress = !event->stream && (event->current > 0 || event->total > 0);

    pthread_mutex_lock(&operation->lock);
    if (!is_progress || operation->output.length < OPERATION_BACKLOG) {
        (void)jsonmessage_progress(&operation->output, event);
        signal_change(operation);
    }
    pthread_mutex_unlock(&operation->lock);
}

static bool is_cancelled(void *data)
{
    const struct operation *operation = data;

    return atomic_load(&operation->is_cancelled);
}

static void *operation_main(void *data)
{
    struct operation *operation = data;
    const struct image_monitor monitor = {
        .report = report,
        .cancelled = is_cancelled,
        .data = operation,
    };
    struct error error = ERROR_INIT;
    int r = operation->run(operation->data, &monitor, &error);

    operation->release(operation->data);
    pthread_mutex_lock(&operation->lock);
    if (r < 0 && error.code == 0)
        error_set_errno(&error, r, "the operation failed");
    operation->result = r;
    error_copy(&operation->error, &error);
    operation->is_over = true;
    signal_change(operation);
    pthread_mutex_unlock(&operation->lock);
    return NULL;
}

static struct operation *operation_destroy(struct operation *operation)
{
    fd_close(operation->event_fd);
    pthread_mutex_destroy(&operation->lock);
    buffer_release(&operation->output);
    free(operation);
    return NULL;
}

int operation_start(operation_run *run, void (*release)(void *data), void *data,
                    struct operation **ret, struct error *err)
{
    struct operation *operation = calloc(1, sizeof(*operation));
    int r = 0;

    if (!operation) {
        release(data);
        return error_oom(err);
    }
    operation->run = run;
    operation->release = release;
    operation->data = data;
    operation->output = (struct buffer)BUFFER_INIT(OPERATION_OUTPUT_MAX);
    pthread_mutex_init(&operation->lock, NULL);
    operation->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = operation->event_fd < 0 ? -errno : 0;
    if (r == 0)
        r = -pthread_create(&operation->thread, NULL, operation_main, operation);
    if (r < 0) {
        release(data);
        operation_destroy(operation);
        return error_set_errno(err, r, "cannot start a thread");
    }
    *ret = operation;
    return 0;
}

void operation_cancel(struct operation *operation)
{
    if (operation)
        atomic_store(&operation->is_cancelled, true);
}

struct operation *operation_free(struct operation *operation)
{
    if (!operation)
        return NULL;
    operation_cancel(operation);
    pthread_join(operation->thread, NULL);
    return operation_destroy(operation);
}

static void clear_change(const struct operation *operation)
{
    uint64_t count = 0;

    (void)!read(operation->event_fd, &count, sizeof(count));
}

static int fill(void *data, struct buffer *out)
{
    struct operation *operation = data;
    int r = 0;

    pthread_mutex_lock(&operation->lock);
    clear_change(operation);
    if (operation->output.length > 0) {
        r = buffer_append(out, operation->output.data, operation->output.length);
        buffer_clear(&operation->output);
        r = r < 0 ? r : 1;
    } else if (operation->is_over && operation->result < 0 && !operation->has_told_error) {
        r = jsonmessage_error(out, &operation->error);
        operation->has_told_error = true;
        r = r < 0 ? r : 1;
    } else if (operation->is_over) {
        r = -ENODATA;
    }
    pthread_mutex_unlock(&operation->lock);
    return r;
}

static int fill_fd(void *data)
{
    const struct operation *operation = data;

    return operation->event_fd;
}

/* 1: there is something to stream, or it ended well; 0: not yet; else its error. */
static int has_begun(struct operation *operation, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&operation->lock);
    clear_change(operation);
    if (operation->output.length > 0)
        r = 1;
    else if (operation->is_over)
        r = operation->result < 0 ? error_copy(err, &operation->error) : 1;
    pthread_mutex_unlock(&operation->lock);
    return r;
}

static int has_finished(struct operation *operation, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&operation->lock);
    clear_change(operation);
    if (operation->is_over)
        r = operation->result < 0 ? error_copy(err, &operation->error) : 1;
    pthread_mutex_unlock(&operation->lock);
    return r;
}

int operation_finish(struct operation *operation, const struct request *request, struct error *err)
{
    int r;

    while ((r = has_finished(operation, err)) == 0) {
        r = request_wait(request, operation->event_fd);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : 0;
}

int operation_reply(struct operation *operation, const struct request *request, struct reply *reply,
                    struct error *err)
{
    const struct reply_source source = {.fill = fill, .fd = fill_fd, .data = operation};
    int r = has_begun(operation, err);

    while (r == 0) {
        r = request_wait(request, operation->event_fd);
        if (r < 0)
            return r;
        r = has_begun(operation, err);
    }
    if (r < 0)
        return r;
    reply_stream(reply, TYPE_JSON, &source);
    return 0;
}
