/* The keys that a client chooses to detach with, and the search for them in its input. Input: the
 * keys, a line feed, what is typed. */
#include "base/cleanup.h"
#include "compute/detach.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = memchr(data, '\n', size);
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE uint8_t *out = malloc(size + DETACH_KEYS_MAX);
    struct detach_keys keys = {.n_keys = 0};
    size_t rest;
    size_t n = 0;

    if (!line || !out)
        return 0;
    text = strndup((const char *)data, (size_t)(line - data));
    rest = (size_t)(data + size - line - 1);
    if (detach_keys_parse(text, &keys, NULL) < 0)
        return 0;
    if (keys.n_keys > DETACH_KEYS_MAX)
        abort();
    /* In two pieces, as a terminal gives it. */
    if (detach_keys_filter(&keys, line + 1, rest / 2, out, &n))
        return 0;
    if (n > rest / 2 || keys.matched > keys.n_keys)
        abort();
    (void)detach_keys_filter(&keys, line + 1 + rest / 2, rest - rest / 2, out, &n);
    if (n > rest + DETACH_KEYS_MAX)
        abort();
    return 0;
}
