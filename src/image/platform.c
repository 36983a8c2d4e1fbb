#include "image/platform.h"

#include <stdio.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

struct alias {
    const char *name;
    const char *architecture;
    const char *variant;
};

/* containerd's platforms.normalizeArch, and what uname(2) says. */
static const struct alias aliases[] = {
    {"x86_64", "amd64", NULL},    {"x86-64", "amd64", NULL},
    {"i386", "386", NULL},        {"i486", "386", NULL},
    {"i586", "386", NULL},        {"i686", "386", NULL},
    {"aarch64", "arm64", NULL},   {"armhf", "arm", "v7"},
    {"armel", "arm", "v6"},       {"armv7l", "arm", "v7"},
    {"armv6l", "arm", "v6"},      {"armv8l", "arm", "v8"},
    {"ppc64el", "ppc64le", NULL}, {"loongarch64", "loong64", NULL},
};

static void normalize(const char **architecture, const char **variant)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (string_equal_nocase(*architecture, aliases[i].name)) {
            *architecture = aliases[i].architecture;
            if (string_is_empty(*variant))
                *variant = aliases[i].variant;
            return;
        }
}

static int fill(const char *os, const char *architecture, const char *variant,
                struct image_platform *ret, char **ret_text, struct error *err)
{
    normalize(&architecture, &variant);
    variant = string_or(variant, "");
    size_t os_size = strlen(os) + 1;
    size_t architecture_size = strlen(architecture) + 1;
    char *text = malloc(os_size + architecture_size + strlen(variant) + 1);
    if (!text)
        return error_oom(err);
    memcpy(text, os, os_size);
    memcpy(text + os_size, architecture, architecture_size);
    memcpy(text + os_size + architecture_size, variant, strlen(variant) + 1);
    ret->os = text;
    ret->architecture = text + os_size;
    ret->variant = *variant ? text + os_size + architecture_size : NULL;
    *ret_text = text;
    return 0;
}

int platform_set(const struct image_platform *from, struct image_platform *ret, char **ret_text,
                 struct error *err)
{
    struct utsname name;
    if (uname(&name) < 0)
        return error_set_errno(err, -errno, "uname");
    return fill(string_or(from->os, "linux"), string_or(from->architecture, name.machine),
                from->variant, ret, ret_text, err);
}

static bool part_is_valid(const char *part)
{
    if (!*part || strlen(part) > 32)
        return false;
    return strspn(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
           strlen(part);
}

int image_platform_parse(const char *text, struct image_platform *ret, char **ret_text,
                         struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    CLEANUP_FREE char *lower = string_lower(text);
    if (!lower || strv_split(lower, '/', &parts) < 0)
        return error_oom(err);
    size_t n = strv_length(parts);
    for (size_t i = 0; i < n; i++)
        if (!part_is_valid(parts[i]))
            n = 0;
    if (n == 0 || n > 3)
        return error_set_class(err, ERROR_INVALID,
                               "\"%s\": unknown operating system or architecture: invalid argument",
                               text);
    struct image_platform from = {.os = "linux"};
    if (n == 1 && strcmp(parts[0], "linux") != 0)
        from.architecture = parts[0];
    if (n > 1) {
        from.os = parts[0];
        from.architecture = parts[1];
        from.variant = parts[2];
    }
    return platform_set(&from, ret, ret_text, err);
}

/* arm64 without a variant is v8; arm without one is v7 (containerd's platforms.Normalize). */
static const char *variant_of(const struct image_platform *platform)
{
    if (string_equal(platform->architecture, "amd64") && string_equal(platform->variant, "v1"))
        return "";
    if (!string_is_empty(platform->variant))
        return platform->variant;
    if (string_equal(platform->architecture, "arm64"))
        return "v8";
    return string_equal(platform->architecture, "arm") ? "v7" : "";
}

int platform_score(const struct image_platform *have, const struct image_platform *need)
{
    if (!string_equal_nocase(string_or(have->os, "linux"), need->os))
        return 0;
    if (string_is_empty(have->architecture))
        return 1;
    struct image_platform normal = *have;
    normalize(&normal.architecture, &normal.variant);
    if (!string_equal_nocase(normal.architecture, need->architecture))
        return 0;
    const char *has = variant_of(&normal);
    const char *needs = variant_of(need);
    if (string_equal(has, needs))
        return 100;
    /* A newer arm runs code for an older one; amd64 levels (v2, v3) only when asked for. */
    if (string_equal(normal.architecture, "arm") && has[0] == 'v' && needs[0] == 'v' &&
        has[1] < needs[1])
        return 10 + (has[1] - '0');
    return 0;
}

bool platform_fits(const struct image_platform *have, const struct image_platform *need)
{
    return platform_score(have, need) > 0;
}

const char *platform_format(const struct image_platform *platform, char text[PLATFORM_TEXT_MAX])
{
    snprintf(text, PLATFORM_TEXT_MAX, "%s/%s%s%s", string_or(platform->os, "linux"),
             string_or(platform->architecture, ""), string_is_empty(platform->variant) ? "" : "/",
             string_or(platform->variant, ""));
    return text;
}
