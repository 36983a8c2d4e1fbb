/* The engine's half of a transfer of a container's files: one on a client, at a time.
 *
 *     compute_archive_begin(client, "archive-read", request, &archive, err)
 *     compute_archive_answer(archive, &answer, err)       what it is
 *     while ((r = compute_archive_read(archive, &bytes, &length, err)) != -ENODATA)
 *         r == 0: wait for compute_client_fd()
 *
 *     compute_archive_begin(client, "archive-write", request, &archive, err)
 *     compute_archive_write(archive, bytes, length, err)  as often as there is something
 *     compute_archive_finish(archive, &answer, err)
 *
 * What comes is a guest's and is passed on as it is; only its frames are checked (wire/). */
#ifndef HULL_COMPUTE_ARCHIVE_H
#define HULL_COMPUTE_ARCHIVE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct compute_archive;
struct compute_client;
struct error;

/* Sends the request with a stream: `write`: from here, else to here. `request` is consumed; the
 * client is borrowed until compute_archive_free(). */
int compute_archive_begin(struct compute_client *client, const char *op, json_t *request,
                          bool write, struct compute_archive **ret, struct error *err);
/* Gives up what is not over: the other end is told. NULL is fine. Returns NULL. */
struct compute_archive *compute_archive_free(struct compute_archive *archive);

/* Waits for the answer. *ret is a new reference. */
int compute_archive_answer(struct compute_archive *archive, json_t **ret, struct error *err);

/* The next bytes, borrowed until the next call: 1; 0 when there are none now; -ENODATA at the end
 * of all; an error when it ended before that. */
int compute_archive_read(struct compute_archive *archive, const void **ret, size_t *ret_length,
                         struct error *err);

/* Waits until there is something to read, or the end. */
int compute_archive_await(struct compute_archive *archive, struct error *err);

/* Sends all of it, waiting as long as the container takes its time (-ETIMEDOUT when nothing moves
 * for minutes; so do the others). When the other end wants no more its reason, which is the answer,
 * is returned. */
int compute_archive_write(struct compute_archive *archive, const void *bytes, size_t length,
                          struct error *err);
/* Ends the stream and waits for the answer, for as long as it takes. */
int compute_archive_finish(struct compute_archive *archive, json_t **ret, struct error *err);

#endif
