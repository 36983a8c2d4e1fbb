/* Detach keys: the sequence of keys on a terminal's stdin that leaves the container running. */
#ifndef HULL_COMPUTE_DETACH_H
#define HULL_COMPUTE_DETACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum { DETACH_KEYS_MAX = 16 };

struct detach_keys {
    uint8_t keys[DETACH_KEYS_MAX];
    size_t n_keys;  /* 0: nothing detaches */
    size_t matched; /* keys of the sequence that came last and are held back */
};

/* docker's syntax: a comma-separated list of single characters and of "ctrl-X", X one of a-z @ [
 * \ ] ^ _. NULL or "": "ctrl-p,ctrl-q". ERROR_INVALID, with docker's words. */
int detach_keys_parse(const char *text, struct detach_keys *ret, struct error *err);

/* Looks at `length` bytes of input and writes those that go to the container to `out`, which has
 * room for length + DETACH_KEYS_MAX. Bytes that may begin the sequence are held back until the next
 * key decides. Returns true when the sequence is complete: what follows it is dropped. */
bool detach_keys_filter(struct detach_keys *keys, const void *data, size_t length, uint8_t *out,
                        size_t *ret_length);

#endif
