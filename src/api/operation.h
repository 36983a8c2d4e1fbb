/* A long piece of work (pull, load, import) on a thread of its own, whose progress is the stream of
 * an answer.
 *
 * The worker reports lines; the connection's thread takes them. As long as nobody takes them, which
 * is so while the client still uploads, progress is forgotten beyond a backlog; what is not mere
 * progress is kept. The client's end cancels the work. */
#ifndef HULL_API_OPERATION_H
#define HULL_API_OPERATION_H

struct error;
struct image_monitor;
struct operation;
struct reply;
struct request;

enum {
    OPERATION_BACKLOG = 256 * 1024,         /* bytes of output beyond which progress is dropped */
    OPERATION_OUTPUT_MAX = 4 * 1024 * 1024, /* beyond which everything is */
};

/* The work: 0 or negative with `err` filled; gives `monitor` to the image library. Then `release`
 * frees `data`, on the same thread, before the operation counts as over. */
typedef int operation_run(void *data, const struct image_monitor *monitor, struct error *err);

/* Starts it. On failure `data` has been released. */
int operation_start(operation_run *run, void (*release)(void *data), void *data,
                    struct operation **ret, struct error *err);

/* Tells it to stop, at once; NULL is fine. */
void operation_cancel(struct operation *operation);
/* Cancels, waits, frees. NULL is fine. Returns NULL. */
struct operation *operation_free(struct operation *operation);

/* Waits for the end, for an operation that answers nothing but whether it succeeded. 0, its error,
 * or negative without `err` filled: from request_wait(). */
int operation_finish(struct operation *operation, const struct request *request, struct error *err);

/* Makes the operation's stream the answer, once it has something to say. If it fails before that,
 * its error is returned and becomes an ordinary answer, as with dockerd. Negative without `err`
 * filled: from request_wait(). The operation stays the caller's (request->operation) and must
 * outlive the reply. */
int operation_reply(struct operation *operation, const struct request *request, struct reply *reply,
                    struct error *err);

#endif
