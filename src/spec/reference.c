#include "spec/reference.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL_PREFIX "library/"

void reference_release(struct reference *reference)
{
    free(reference->domain);
    free(reference->path);
    free(reference->tag);
    free(reference->digest);
    *reference = (struct reference)REFERENCE_INIT;
}

int reference_copy(const struct reference *source, struct reference *ret)
{
    CLEANUP(reference_release) struct reference copy = REFERENCE_INIT;
    if (string_replace(&copy.domain, source->domain) < 0 ||
        string_replace(&copy.path, source->path) < 0 ||
        string_replace(&copy.tag, source->tag) < 0 ||
        string_replace(&copy.digest, source->digest) < 0)
        return -ENOMEM;
    *ret = copy;
    copy = (struct reference)REFERENCE_INIT;
    return 0;
}

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool has_upper(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            return true;
    return false;
}

bool digest_is_valid(const char *digest)
{
    return digest && strncmp(digest, "sha256:", DIGEST_PREFIX_LENGTH) == 0 &&
           string_is_hex(digest + DIGEST_PREFIX_LENGTH, 64);
}

/* [\w][\w.-]{0,127} */
bool reference_tag_is_valid(const char *tag)
{
    size_t length = strnlen(tag, REFERENCE_TAG_MAX + 1);
    if (length == 0 || length > REFERENCE_TAG_MAX)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (is_alnum(tag[i]) || tag[i] == '_')
            continue;
        if (i == 0 || (tag[i] != '.' && tag[i] != '-'))
            return false;
    }
    return true;
}

/* Components of letters and digits, joined by one dot, one or two underscores, or any number of
 * dashes; slashes between them. */
static bool path_is_valid(const char *path)
{
    const char *p = path;
    for (;;) {
        if (!is_lower_alnum(*p))
            return false;
        while (is_lower_alnum(*p))
            p++;
        if (!*p)
            return true;
        if (*p == '/' || *p == '.') {
            p++;
        } else if (*p == '_') {
            p += p[1] == '_' ? 2 : 1;
        } else if (*p == '-') {
            while (*p == '-')
                p++;
        } else {
            return false;
        }
    }
}

static bool port_is_valid(const char *port)
{
    if (!*port)
        return false;
    for (; *port; port++)
        if (*port < '0' || *port > '9')
            return false;
    return true;
}

/* Host names with dashes inside their labels, or [IPv6], and an optional port. */
static bool domain_is_valid(const char *domain)
{
    const char *p = domain;
    if (*p == '[') {
        const char *end = strchr(p, ']');
        if (!end || end == p + 1)
            return false;
        for (p++; p < end; p++)
            if (!isxdigit((unsigned char)*p) && *p != ':')
                return false;
        p = end + 1;
    } else {
        for (;;) {
            if (!is_alnum(*p))
                return false;
            while (is_alnum(*p) || *p == '-')
                p++;
            if (p[-1] == '-')
                return false;
            if (*p != '.')
                break;
            p++;
        }
    }
    return !*p || (*p == ':' && port_is_valid(p + 1));
}

/* splitDockerDomain: is the part before the first slash a registry, or does the name belong to the
 * default one? *ret_remainder points into text; *ret_official: "library/" goes before it. */
static int split_domain(const char *text, char **ret_domain, const char **ret_remainder,
                        bool *ret_official)
{
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : 0;
    bool is_default = true;
    const char *remainder = text;
    CLEANUP_FREE char *domain = NULL;
    if (slash) {
        domain = strndup(text, length);
        if (!domain)
            return -ENOMEM;
        if (strcmp(domain, LEGACY_DOMAIN) == 0 || strcmp(domain, DEFAULT_DOMAIN) == 0) {
            remainder = slash + 1;
        } else if (strcmp(domain, "localhost") == 0 || strpbrk(domain, ".:") ||
                   has_upper(domain, length)) {
            remainder = slash + 1;
            is_default = false;
        }
    }
    if (is_default && string_replace(&domain, DEFAULT_DOMAIN) < 0)
        return -ENOMEM;
    *ret_official = is_default && !strchr(remainder, '/');
    *ret_remainder = remainder;
    *ret_domain = TAKE_PTR(domain);
    return 0;
}

/* Takes "@digest" and then ":tag" off the end of `rest`. */
static int split_suffixes(char *rest, struct reference *reference, struct error *err)
{
    char *at = strchr(rest, '@');
    if (at) {
        *at = '\0';
        if (!digest_is_valid(at + 1))
            return error_set_class(err, ERROR_INVALID, "invalid reference format");
        if (string_replace(&reference->digest, at + 1) < 0)
            return error_oom(err);
    }
    char *colon = strchr(rest, ':');
    if (colon) {
        *colon = '\0';
        if (!reference_tag_is_valid(colon + 1))
            return error_set_class(err, ERROR_INVALID, "invalid reference format");
        if (string_replace(&reference->tag, colon + 1) < 0)
            return error_oom(err);
    }
    return 0;
}

static int check_case(const char *remainder, struct error *err)
{
    size_t length = strcspn(remainder, ":");
    if (!has_upper(remainder, length))
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "invalid reference format: repository name (%.*s) must be lowercase",
                           (int)length, remainder);
}

int reference_parse(const char *text, struct reference *ret, struct error *err)
{
    CLEANUP(reference_release) struct reference parsed = REFERENCE_INIT;
    const char *remainder = NULL;
    bool official = false;

    if (!*text || strnlen(text, REFERENCE_TEXT_MAX + 1) > REFERENCE_TEXT_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    if (string_is_hex(text, 64))
        return error_set_class(
            err, ERROR_INVALID,
            "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", text);
    if (split_domain(text, &parsed.domain, &remainder, &official) < 0)
        return error_oom(err);
    int r = check_case(remainder, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *rest = string_format("%s%s", official ? OFFICIAL_PREFIX : "", remainder);
    if (!rest)
        return error_oom(err);
    r = split_suffixes(rest, &parsed, err);
    if (r < 0)
        return r;
    if (!domain_is_valid(parsed.domain) || !path_is_valid(rest))
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    if (strlen(parsed.domain) + 1 + strlen(rest) > REFERENCE_NAME_MAX)
        return error_set_class(err, ERROR_INVALID,
                               "repository name must not be more than %d characters",
                               (int)REFERENCE_NAME_MAX);
    parsed.path = TAKE_PTR(rest);
    *ret = parsed;
    parsed = (struct reference)REFERENCE_INIT;
    return 0;
}

int reference_parse_any(const char *text, struct reference *ret, char **ret_id, struct error *err)
{
    bool bare = string_is_hex(text, 64);
    if (!bare && !digest_is_valid(text))
        return reference_parse(text, ret, err);
    char *id = string_format("%s%s", bare ? "sha256:" : "", text);
    if (!id)
        return error_oom(err);
    *ret_id = id;
    return 1;
}

int reference_default_tag(struct reference *reference)
{
    if (reference->tag || reference->digest)
        return 0;
    return string_replace(&reference->tag, "latest");
}

char *reference_name(const struct reference *reference)
{
    return string_format("%s/%s", reference->domain, reference->path);
}

char *reference_familiar_name(const struct reference *reference)
{
    if (strcmp(reference->domain, DEFAULT_DOMAIN) != 0)
        return reference_name(reference);
    const char *path = reference->path;
    size_t prefix = strlen(OFFICIAL_PREFIX);
    if (strncmp(path, OFFICIAL_PREFIX, prefix) == 0 && !strchr(path + prefix, '/'))
        path += prefix;
    return strdup(path);
}

static char *with_suffixes(char *name, const struct reference *reference)
{
    CLEANUP_FREE char *owned = name;
    if (!owned)
        return NULL;
    return string_format("%s%s%s%s%s", owned, reference->tag ? ":" : "",
                         string_or(reference->tag, ""), reference->digest ? "@" : "",
                         string_or(reference->digest, ""));
}

char *reference_string(const struct reference *reference)
{
    return with_suffixes(reference_name(reference), reference);
}

char *reference_familiar_string(const struct reference *reference)
{
    return with_suffixes(reference_familiar_name(reference), reference);
}

bool reference_matches(const struct reference *reference, const char *pattern)
{
    CLEANUP_FREE char *text = reference_familiar_string(reference);
    CLEANUP_FREE char *name = reference_familiar_name(reference);
    return (text && fnmatch(pattern, text, FNM_PATHNAME) == 0) ||
           (name && fnmatch(pattern, name, FNM_PATHNAME) == 0);
}
