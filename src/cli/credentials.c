#include "cli/credentials.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DOCKER_INDEX "https://index.docker.io/v1/"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t length, int url_safe)
{
    const uint8_t *p = data;
    char *out = malloc((length + 2) / 3 * 4 + 1);
    size_t n = 0;

    for (size_t i = 0; out && i < length; i += 3) {
        uint32_t word = (uint32_t)p[i] << 16;

        word |= i + 1 < length ? (uint32_t)p[i + 1] << 8 : 0;
        word |= i + 2 < length ? (uint32_t)p[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            out[n++] = k <= length - i ? alphabet[word >> (18 - 6 * k) & 63] : '=';
    }
    if (!out)
        return NULL;
    out[n] = '\0';
    for (char *c = out; url_safe && *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return out;
}

char *base64_decode(const char *text)
{
    size_t length = strcspn(text, "=");
    CLEANUP_FREE char *out = malloc(length + 1);
    uint32_t word = 0;
    int bits = 0;
    size_t n = 0;

    for (size_t i = 0; out && i < length; i++) {
        const char *at = strchr(alphabet, text[i]);

        if (!at || !*at)
            return NULL;
        word = word << 6 | (uint32_t)(at - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(word >> bits & 0xff);
        }
    }
    if (out)
        out[n] = '\0';
    return TAKE_PTR(out);
}

static char *config_path(void)
{
    const char *directory = getenv("DOCKER_CONFIG");
    const char *home = getenv("HOME");

    if (!string_is_empty(directory))
        return string_format("%s/config.json", directory);
    return string_format("%s/.docker/config.json", string_or(home, "/root"));
}

/* {"username","password","serveraddress"} from an entry {"auth": base64("user:password")}. */
static int encode(const char *server, const char *pair, char **ret, struct error *err)
{
    CLEANUP_FREE char *plain = base64_decode(pair);
    CLEANUP_JSON json_t *document = json_object();
    CLEANUP_FREE char *text = NULL;
    char *colon = plain ? strchr(plain, ':') : NULL;

    if (!colon)
        return error_set_class(err, ERROR_INVALID,
                               "the credentials for %s in docker's configuration "
                               "are not in the form user:password",
                               server);
    *colon = '\0';
    if (json_put_string(document, "username", plain) < 0 ||
        json_put_string(document, "password", colon + 1) < 0 ||
        json_put_string(document, "serveraddress", server) < 0)
        return error_oom(err);
    text = json_format(document);
    *ret = text ? base64_encode(text, strlen(text), 1) : NULL;
    return *ret ? 0 : error_oom(err);
}

int credentials_find(const char *domain, char **ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer content = BUFFER_INIT(CREDENTIALS_FILE_MAX);
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_FREE char *path = config_path();
    const char *server = string_equal(domain, "docker.io") ? DOCKER_INDEX : domain;
    const char *pair = NULL;
    int r = 0;

    *ret = NULL;
    if (!path)
        return error_oom(err);
    if (file_read(AT_FDCWD, path, &content, NULL) < 0)
        return 0;
    r = json_parse(buffer_string(&content), content.length, &document, err);
    if (r < 0)
        return error_wrap(err, r, "%s", path);
    pair = json_string_value(
        json_object_get(json_object_get(json_object_get(document, "auths"), server), "auth"));
    return string_is_empty(pair) ? 0 : encode(server, pair, ret, err);
}
