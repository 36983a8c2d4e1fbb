/* The key sequence that lets go of a container without ending it ("ctrl-p,ctrl-q").
 *
 * The engine looks for the same keys; the client does too, as docker's does, because a closed
 * stream alone does not say whether the container has ended. Bytes that may be the start of the
 * sequence are held back until the next byte decides. */
#ifndef HULL_CLI_DETACH_H
#define HULL_CLI_DETACH_H

#include <stdbool.h>
#include <stddef.h>

struct buffer;
struct error;

enum { DETACH_KEYS_MAX = 16 };

#define DETACH_KEYS_DEFAULT "ctrl-p,ctrl-q"

struct detach {
    char keys[DETACH_KEYS_MAX];
    size_t n_keys;
    size_t n_seen;
};

/* Comma separated single characters or ctrl-X with X one of a-z, @, [, \, ], ^, _. */
int detach_parse(const char *text, struct detach *ret, struct error *err);

/* Passes `length` typed bytes on to `output`; true when the sequence is complete (what follows
 * is dropped). *ret_code is 0 or -errno of the buffer. */
bool detach_filter(struct detach *detach, const char *bytes, size_t length, struct buffer *output,
                   int *ret_code);

#endif
