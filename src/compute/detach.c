#include "compute/detach.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#include <string.h>

/* 1 to 31 and 0, in the order of ASCII: ctrl-@ is 0, ctrl-a 1, ... ctrl-_ 31. */
static int control_key(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 1;
    switch (c) {
    case '@':
        return 0;
    case '[':
        return 27;
    case '\\':
        return 28;
    case ']':
        return 29;
    case '^':
        return 30;
    case '_':
        return 31;
    default:
        return -1;
    }
}

static int parse_key(const char *word, uint8_t *ret)
{
    if (strlen(word) == 1) {
        *ret = (uint8_t)*word;
        return 0;
    }
    if (!string_starts_with(word, "ctrl-") || strlen(word) != strlen("ctrl-x"))
        return -1;
    int key = control_key(word[strlen("ctrl-")]);
    *ret = (uint8_t)key;
    return key < 0 ? -1 : 0;
}

int detach_keys_parse(const char *text, struct detach_keys *ret, struct error *err)
{
    struct detach_keys keys = {.n_keys = 0};
    CLEANUP_STRV char **words = NULL;

    if (string_is_empty(text))
        text = "ctrl-p,ctrl-q";
    if (strv_split(text, ',', &words) < 0)
        return error_oom(err);
    for (size_t i = 0; words[i]; i++) {
        if (i >= DETACH_KEYS_MAX)
            return error_set_class(err, ERROR_INVALID, "more than %d detach keys", DETACH_KEYS_MAX);
        if (parse_key(words[i], &keys.keys[keys.n_keys++]) < 0)
            return error_set_class(err, ERROR_INVALID,
                                   "Invalid detach keys (%s): unknown character: '%s'", text,
                                   words[i]);
    }
    *ret = keys;
    return 0;
}

bool detach_keys_filter(struct detach_keys *keys, const void *data, size_t length, uint8_t *out,
                        size_t *ret_length)
{
    const uint8_t *bytes = data;
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        if (keys->n_keys > 0 && bytes[i] == keys->keys[keys->matched]) {
            if (++keys->matched < keys->n_keys)
                continue;
            keys->matched = 0;
            *ret_length = n;
            return true;
        }
        /* Not the sequence after all: what was held back is input, and this key may begin anew. */
        memcpy(out + n, keys->keys, keys->matched);
        n += keys->matched;
        keys->matched = 0;
        if (keys->n_keys > 0 && bytes[i] == keys->keys[0]) {
            keys->matched = 1;
            if (keys->n_keys == 1) {
                keys->matched = 0;
                *ret_length = n;
                return true;
            }
            continue;
        }
        out[n++] = bytes[i];
    }
    *ret_length = n;
    return false;
}
