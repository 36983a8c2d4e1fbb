#include "vm/qemu-options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strings.h"

/* Appends text, with each comma doubled if `escape`. */
static int add(char **target, const char *text, bool escape)
{
    size_t have = *target ? strlen(*target) : 0;
    char *grown = realloc(*target, have + 2 * strlen(text) + 1);

    if (!grown)
        return -ENOMEM;
    *target = grown;
    grown += have;
    for (; *text; text++) {
        if (escape && *text == ',')
            *grown++ = ',';
        *grown++ = *text;
    }
    *grown = '\0';
    return 0;
}

int qemu_option_add(char **text, const char *key, const char *value)
{
    int r = *text ? add(text, ",", false) : 0;

    if (r == 0)
        r = add(text, key, !value);
    if (r == 0 && value)
        r = add(text, "=", false);
    if (r == 0 && value)
        r = add(text, value, true);
    return r;
}

int qemu_option_addf(char **text, const char *key, const char *format, ...)
{
    CLEANUP_FREE char *value = NULL;
    va_list args;
    int n;

    va_start(args, format);
    n = vasprintf(&value, format, args);
    va_end(args);
    if (n < 0) {
        value = NULL;
        return -ENOMEM;
    }
    return qemu_option_add(text, key, value);
}

int qemu_append(char ***argv, const char *option, const char *first, ...)
{
    CLEANUP_FREE char *text = NULL;
    const char *key;
    va_list args;
    int r = first ? qemu_option_add(&text, first, NULL) : 0;

    va_start(args, first);
    while (r == 0 && (key = va_arg(args, const char *)))
        r = qemu_option_add(&text, key, va_arg(args, const char *));
    va_end(args);
    if (r == 0)
        r = strv_append(argv, option);
    if (r == 0)
        r = strv_append_take(argv, TAKE_PTR(text));
    return r;
}
