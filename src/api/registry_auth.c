#include "api/registry_auth.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"

#include <stdlib.h>
#include <string.h>

void registry_auth_release(struct registry_auth *auth)
{
    for (size_t i = 0; i < sizeof(auth->texts) / sizeof(auth->texts[0]); i++) {
        if (auth->texts[i])
            explicit_bzero(auth->texts[i], strlen(auth->texts[i]));
        free(auth->texts[i]);
    }
    *auth = (struct registry_auth)REGISTRY_AUTH_INIT;
}

/* Value of a digit in either alphabet, or -1. */
static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-' || c == '+')
        return 62;
    if (c == '_' || c == '/')
        return 63;
    return -1;
}

/* Appends what `text` stands for; false when it is not base64. */
static bool decode_base64(const char *text, struct buffer *out)
{
    unsigned bits = 0;
    int n_bits = 0;
    size_t length = strlen(text);

    while (length > 0 && text[length - 1] == '=')
        length--;
    if (length % 4 == 1)
        return false;
    for (size_t i = 0; i < length; i++) {
        int value = digit_value(text[i]);

        if (value < 0)
            return false;
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            if (buffer_append_char(out, (char)(bits >> n_bits & 0xff)) < 0)
                return false;
        }
    }
    return true;
}

/* Takes a member's text over; an empty one counts as absent. */
static int take_member(const json_t *document, const char *name, char **slot, const char **ret,
                       struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(document, name, &text, err);

    if (r < 0)
        return r;
    if (string_replace(slot, string_is_empty(text) ? NULL : text) < 0)
        return error_oom(err);
    *ret = *slot;
    return 0;
}

/* "auth": base64 of "user:password", in place of the two members. */
static int take_combined(const json_t *document, struct registry_auth *auth, struct error *err)
{
    CLEANUP(buffer_release) struct buffer pair = BUFFER_INIT(REGISTRY_AUTH_MAX);
    const char *text = NULL;
    char *colon = NULL;
    int r = json_get_string(document, "auth", &text, err);

    if (r < 0 || string_is_empty(text) || auth->auth.username)
        return r < 0 ? r : 0;
    if (!decode_base64(text, &pair) || strlen(buffer_string(&pair)) != pair.length)
        return error_set_class(err, ERROR_INVALID, "invalid registry credentials: auth");
    colon = strchr(buffer_string(&pair), ':');
    if (!colon)
        return error_set_class(err, ERROR_INVALID, "invalid registry credentials: auth");
    *colon = '\0';
    if (string_replace(&auth->texts[0], pair.data) < 0 ||
        string_replace(&auth->texts[1], colon + 1) < 0)
        return error_oom(err);
    auth->auth.username = auth->texts[0];
    auth->auth.password = auth->texts[1];
    return 0;
}

int registry_auth_read(const json_t *document, struct registry_auth *ret, struct error *err)
{
    CLEANUP(registry_auth_release) struct registry_auth auth = REGISTRY_AUTH_INIT;
    int r = take_member(document, "username", &auth.texts[0], &auth.auth.username, err);

    if (r == 0)
        r = take_member(document, "password", &auth.texts[1], &auth.auth.password, err);
    if (r == 0)
        r = take_member(document, "identitytoken", &auth.texts[2], &auth.auth.identity_token, err);
    if (r == 0)
        r = take_member(document, "registrytoken", &auth.texts[3], &auth.auth.registry_token, err);
    if (r == 0)
        r = take_combined(document, &auth, err);
    if (r < 0)
        return r;
    *ret = auth;
    auth = (struct registry_auth)REGISTRY_AUTH_INIT;
    return 0;
}

int registry_auth_decode(const char *header, struct registry_auth *ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(REGISTRY_AUTH_MAX);
    CLEANUP_JSON json_t *document = NULL;

    if (strlen(header) > REGISTRY_AUTH_MAX || !decode_base64(header, &text))
        return error_set_class(err, ERROR_INVALID, "invalid X-Registry-Auth header: not base64");
    if (json_parse(buffer_string(&text), text.length, &document, NULL) < 0 ||
        !json_is_object(document))
        return error_set_class(err, ERROR_INVALID, "invalid X-Registry-Auth header: not JSON");
    return registry_auth_read(document, ret, err);
}
