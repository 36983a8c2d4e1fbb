#include "cli/reference.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DOMAIN "docker.io"
#define DEFAULT_NAMESPACE "library"

/* Repository path: lower-case letters, digits, separators in between. The engine knows the rest. */
static bool is_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr("._-/", *p))
            return false;
    return *name && !strchr("/.-_", *name) && !strstr(name, "//") && !string_ends_with(name, "/");
}

static bool is_tag(const char *tag)
{
    for (const char *p = tag; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return false;
    return *tag && !strchr(".-", *tag) && strlen(tag) <= 128;
}

/* The first part is a host when it looks like one; else the name is docker.io's. */
static bool has_domain(const char *text, size_t first)
{
    if (first == 0)
        return false;
    return memchr(text, '.', first) || memchr(text, ':', first) ||
           (first == 9 && memcmp(text, "localhost", 9) == 0);
}

static int set_names(struct reference *reference, const char *name, struct error *err)
{
    const char *slash = strchr(name, '/');
    bool foreign = slash && has_domain(name, (size_t)(slash - name));
    const char *path = foreign ? slash + 1 : name;

    if (foreign && (string_starts_with(name, DEFAULT_DOMAIN "/") ||
                    string_starts_with(name, "index." DEFAULT_DOMAIN "/")))
        foreign = false;
    if (!is_name(path)) {
        for (const char *p = path; *p; p++)
            if (isupper((unsigned char)*p))
                return error_set_class(err, ERROR_INVALID,
                                       "invalid reference format: repository name "
                                       "(%s%s) must be lowercase",
                                       foreign || strchr(path, '/') ? "" : DEFAULT_NAMESPACE "/",
                                       path);
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    }
    if (foreign) {
        reference->name = strdup(name);
        reference->familiar = strdup(name);
    } else if (!strchr(path, '/')) {
        reference->name = string_format(DEFAULT_DOMAIN "/" DEFAULT_NAMESPACE "/%s", path);
        reference->familiar = strdup(path);
    } else {
        reference->name = string_format(DEFAULT_DOMAIN "/%s", path);
        reference->familiar = strdup(string_starts_with(path, DEFAULT_NAMESPACE "/") &&
                                             !strchr(path + strlen(DEFAULT_NAMESPACE "/"), '/')
                                         ? path + strlen(DEFAULT_NAMESPACE "/")
                                         : path);
    }
    return reference->name && reference->familiar ? 0 : error_oom(err);
}

int reference_parse(const char *text, struct reference *ret, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *name = strdup(text);
    char *at = NULL;
    char *colon = NULL;
    int r = 0;

    if (!name)
        return error_oom(err);
    if (strlen(text) > REFERENCE_MAX)
        return error_set_class(err, ERROR_INVALID, "invalid reference format");
    at = strchr(name, '@');
    if (at) {
        *at++ = '\0';
        if (!string_starts_with(at, "sha256:") || !string_is_hex(at + strlen("sha256:"), 64))
            return error_set_class(err, ERROR_INVALID, "invalid reference format");
        reference.digest = strdup(at);
    }
    colon = strrchr(name, ':');
    if (colon && !strchr(colon, '/')) {
        *colon++ = '\0';
        if (!is_tag(colon))
            return error_set_class(err, ERROR_INVALID, "invalid reference format");
        reference.tag = strdup(colon);
    } else if (!at) {
        reference.tag = strdup("latest");
    }
    if ((at && !reference.digest) || (!at && !reference.tag))
        return error_oom(err);
    r = set_names(&reference, name, err);
    if (r < 0)
        return r;
    *ret = reference;
    reference = (struct reference)REFERENCE_INIT;
    return 0;
}

void reference_release(struct reference *reference)
{
    free(reference->name);
    free(reference->familiar);
    free(reference->tag);
    free(reference->digest);
    *reference = (struct reference)REFERENCE_INIT;
}

static char *join(const struct reference *reference, const char *name)
{
    if (reference->digest)
        return string_format("%s@%s", name, reference->digest);
    return string_format("%s:%s", name, reference->tag);
}

char *reference_familiar(const struct reference *reference)
{
    return join(reference, reference->familiar);
}

char *reference_full(const struct reference *reference)
{
    return join(reference, reference->name);
}

const char *reference_tag(const struct reference *reference)
{
    return reference->digest ? reference->digest : reference->tag;
}
