/* Connections that carry a process's streams: attach and exec. */
#ifndef HULL_API_ATTACHMENT_H
#define HULL_API_ATTACHMENT_H

#include <stdbool.h>
#include <stddef.h>

struct compute_client;
struct engine_logs;
struct error;
struct reply;
struct request;

/* "application/vnd.docker.multiplexed-stream" for output in frames where the client's API knows
 * that type (1.42), else "application/vnd.docker.raw-stream". */
const char *attachment_type(const struct request *request, bool terminal);

/* Appends docker's stdcopy header: stream, three zeros, length as big-endian 32 bits. */
enum { STDCOPY_HEADER = 8 };
void stdcopy_header(unsigned char header[STDCOPY_HEADER], int stream, size_t length);

/* Answers with the streams of `client`, consumed also on failure: the connection is taken over if
 * the client asked for an upgrade, else the output is an ordinary stream and there is no input.
 * `logs` (may be NULL, consumed) goes out first. */
int attachment_reply(const struct request *request, struct compute_client *client, bool terminal,
                     struct engine_logs *logs, struct reply *reply, struct error *err);

/* The same with one line of output and nothing else; NULL: no output at all. */
int attachment_reply_notice(const struct request *request, const char *text, bool terminal,
                            struct reply *reply, struct error *err);

/* The stream of a log alone; `logs` is consumed. */
int attachment_reply_logs(const struct request *request, struct engine_logs *logs, bool terminal,
                          struct reply *reply, struct error *err);

#endif
