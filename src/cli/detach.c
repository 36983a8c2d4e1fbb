#include "cli/detach.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#include <string.h>

static int parse_key(const char *text, char *ret)
{
    static const char prefix[] = "ctrl-";
    char c = 0;

    if (strlen(text) == 1) {
        *ret = text[0];
        return 0;
    }
    if (!string_starts_with(text, prefix) || strlen(text) != sizeof(prefix))
        return -EINVAL;
    c = text[sizeof(prefix) - 1];
    if (c >= 'a' && c <= 'z')
        *ret = (char)(c - 'a' + 1);
    else if (strchr("@[\\]^_", c))
        *ret = (char)(c - '@');
    else
        return -EINVAL;
    return 0;
}

int detach_parse(const char *text, struct detach *ret, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    struct detach detach = {.n_keys = 0};

    if (strv_split(text, ',', &parts) < 0)
        return error_oom(err);
    for (size_t i = 0; parts && parts[i]; i++)
        if (detach.n_keys >= DETACH_KEYS_MAX ||
            parse_key(parts[i], &detach.keys[detach.n_keys++]) < 0)
            return error_set_class(err, ERROR_INVALID, "invalid detach keys: %s", text);
    *ret = detach;
    return 0;
}

bool detach_filter(struct detach *detach, const char *bytes, size_t length, struct buffer *output,
                   int *ret_code)
{
    int r = 0;

    for (size_t i = 0; i < length && r == 0; i++) {
        if (detach->n_keys > 0 && bytes[i] == detach->keys[detach->n_seen]) {
            if (++detach->n_seen == detach->n_keys) {
                detach->n_seen = 0;
                *ret_code = 0;
                return true;
            }
            continue;
        }
        r = buffer_append(output, detach->keys, detach->n_seen);
        detach->n_seen = 0;
        if (r == 0 && detach->n_keys > 0 && bytes[i] == detach->keys[0]) {
            /* a failed start may be the first key of the real one */
            detach->n_seen = 1;
            continue;
        }
        if (r == 0)
            r = buffer_append_char(output, bytes[i]);
    }
    *ret_code = r;
    return false;
}
