#include "image/challenge.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/strings.h"

/* tchar of RFC 9110, 5.6.2. */
static const char token_chars[] =
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

void challenges_release(struct challenges *challenges)
{
    for (size_t i = 0; i < challenges->n; i++) {
        struct challenge *item = &challenges->items[i];
        free(item->scheme);
        free(item->realm);
        free(item->service);
        free(item->scope);
        free(item->error);
        free(item->error_description);
    }
    *challenges = (struct challenges){0};
}

const struct challenge *challenges_find(const struct challenges *challenges, const char *scheme)
{
    for (size_t i = 0; i < challenges->n; i++)
        if (strcmp(challenges->items[i].scheme, scheme) == 0)
            return &challenges->items[i];
    return NULL;
}

static int read_value(const char **text, char **ret)
{
    const char *p = *text;
    if (*p != '"') {
        size_t length = strspn(p, token_chars);
        if (length == 0)
            return -EINVAL;
        *ret = strndup(p, length);
        *text = p + length;
        return *ret ? 0 : -ENOMEM;
    }
    CLEANUP(buffer_release) struct buffer value = BUFFER_INIT(CHALLENGE_TEXT_MAX);
    for (p++; *p != '"'; p++) {
        if (*p == '\\')
            p++;
        if (!*p)
            return -EINVAL;
        if (buffer_append_char(&value, *p) < 0)
            return -ENOMEM;
    }
    *text = p + 1;
    *ret = buffer_take(&value);
    return *ret ? 0 : -ENOMEM;
}

/* Consumes value. The first of two parameters with one name counts. */
static void set_parameter(struct challenge *item, const char *name, char *value)
{
    const struct {
        const char *name;
        char **target;
    } parameters[] = {
        {"realm", &item->realm},
        {"service", &item->service},
        {"scope", &item->scope},
        {"error", &item->error},
        {"error_description", &item->error_description},
    };
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        if (string_equal_nocase(name, parameters[i].name) && !*parameters[i].target) {
            *parameters[i].target = value;
            return;
        }
    free(value);
}

static int new_challenge(struct challenges *ret, const char *scheme)
{
    if (ret->n == CHALLENGES_MAX)
        return -E2BIG;
    struct challenge *item = &ret->items[ret->n];
    *item = (struct challenge){.scheme = string_lower(scheme)};
    if (!item->scheme)
        return -ENOMEM;
    ret->n++;
    return 0;
}

int challenges_parse(const char *text, struct challenges *ret)
{
    size_t first = ret->n;
    if (strnlen(text, CHALLENGE_TEXT_MAX) == CHALLENGE_TEXT_MAX)
        return -E2BIG;
    while (*(text += strspn(text, " \t,"))) {
        size_t length = strspn(text, token_chars);
        if (length == 0)
            return -EINVAL;
        CLEANUP_FREE char *token = strndup(text, length);
        if (!token)
            return -ENOMEM;
        text += length;
        const char *after = text + strspn(text, " \t");
        int r;
        if (*after != '=') {
            r = new_challenge(ret, token);
        } else {
            char *value = NULL;
            text = after + 1;
            text += strspn(text, " \t");
            if (ret->n == first)
                return -EINVAL;
            r = read_value(&text, &value);
            if (r == 0)
                set_parameter(&ret->items[ret->n - 1], token, value);
        }
        if (r < 0)
            return r;
    }
    return 0;
}
