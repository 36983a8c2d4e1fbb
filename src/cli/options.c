#include "cli/options.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const value_words[] = {
    [OPTION_BOOL] = "",   [OPTION_STRING] = "string", [OPTION_LIST] = "list",
    [OPTION_INT] = "int", [OPTION_BYTES] = "bytes",   [OPTION_DECIMAL] = "decimal",
};
static_assert(sizeof(value_words) / sizeof(value_words[0]) == OPTION_TYPE_MAX, "a word per type");

const char *option_value_word(const struct cli_option *option)
{
    return option->value ? option->value : value_words[option->type];
}

static size_t table_length(const struct cli_option *table)
{
    size_t n = 0;
    while (table && table[n].name)
        n++;
    assert(n <= OPTION_TABLE_MAX);
    return n;
}

static const struct cli_option *find_name(const struct cli_option *table, const char *name,
                                          size_t length)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return o;
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_option *table, char letter)
{
    for (const struct cli_option *o = table; o && o->name; o++)
        if (o->letter == letter)
            return o;
    return NULL;
}

/* The slot of a known name; aliases are followed. */
static struct option_value *slot(const struct options *options, const char *name)
{
    const struct cli_option *o = find_name(options->table, name, strlen(name));
    assert(o);
    if (o->same_as)
        o = find_name(options->table, o->same_as, strlen(o->same_as));
    assert(o);
    return &options->values[o - options->table];
}

static int parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (string_equal(text, yes[i])) {
            *ret = true;
            return 0;
        }
        if (string_equal(text, no[i])) {
            *ret = false;
            return 0;
        }
    }
    return -EINVAL;
}

/* "1.5" to 1500000000, exactly: at most nine digits after the point. */
static int parse_decimal(const char *text, int64_t *ret)
{
    enum { DIGITS = 9 };
    int64_t whole = 0;
    int64_t fraction = 0;
    int64_t scale = 1000000000;
    const char *p = text;

    if (!*p || string_equal(p, "."))
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        whole = whole * 10 + (*p - '0');
        if (whole > 1000000)
            return -ERANGE;
    }
    if (*p == '.') {
        p++;
        for (int n = 0; *p >= '0' && *p <= '9'; p++, n++) {
            if (n >= DIGITS)
                return -ERANGE;
            scale /= 10;
            fraction += (*p - '0') * scale;
        }
    }
    if (*p)
        return -EINVAL;
    *ret = whole * 1000000000 + fraction;
    return 0;
}

static int parse_bytes(const char *text, int64_t *ret)
{
    uint64_t size = 0;
    int r = 0;

    if (string_equal(text, "-1")) {
        *ret = -1;
        return 0;
    }
    r = string_to_size(text, &size);
    if (r < 0)
        return r;
    if (size > INT64_MAX)
        return -ERANGE;
    *ret = (int64_t)size;
    return 0;
}

static int invalid_argument(const struct cli_option *option, const char *text, const char *why,
                            struct error *err)
{
    if (option->letter)
        return error_set_class(err, ERROR_INVALID,
                               "invalid argument \"%s\" for \"-%c, --%s\" flag: %s", text,
                               option->letter, option->name, why);
    return error_set_class(err, ERROR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: %s",
                           text, option->name, why);
}

static int invalid_value(const struct cli_option *option, const char *text, const char *what,
                         struct error *err)
{
    CLEANUP_FREE char *why = string_format("%s: '%s'", what, text);
    return why ? invalid_argument(option, text, why, err) : error_oom(err);
}

static int not_rational(const struct cli_option *option, const char *text, struct error *err)
{
    CLEANUP_FREE char *why = string_format("failed to parse %s as a rational number", text);
    return why ? invalid_argument(option, text, why, err) : error_oom(err);
}

static int store(struct options *options, const struct cli_option *option, const char *text,
                 struct error *err)
{
    struct option_value *value = slot(options, option->name);
    int r = 0;

    if (strlen(text) > OPTION_VALUE_MAX)
        return error_set_class(err, ERROR_INVALID, "value of --%s is too long", option->name);
    switch (option->type) {
    case OPTION_BOOL:
        if (parse_bool(text, &value->flag) < 0)
            return invalid_value(option, text, "invalid boolean", err);
        break;
    case OPTION_STRING:
        if (string_replace(&value->text, text) < 0)
            return error_oom(err);
        break;
    case OPTION_LIST:
        if (strv_length(value->list) >= OPTION_LIST_MAX)
            return error_set_class(err, ERROR_INVALID, "too many --%s options", option->name);
        if (strv_append(&value->list, text) < 0)
            return error_oom(err);
        break;
    case OPTION_INT:
        if (string_to_i64(text, &value->number) < 0)
            return invalid_value(option, text, "invalid number", err);
        break;
    case OPTION_BYTES:
        r = parse_bytes(text, &value->number);
        if (r < 0)
            return invalid_value(option, text, "invalid size", err);
        break;
    case OPTION_DECIMAL:
        r = parse_decimal(text, &value->number);
        if (r == -ERANGE)
            return invalid_argument(option, text, "value is too precise or too large", err);
        if (r < 0)
            return not_rational(option, text, err);
        break;
    case OPTION_TYPE_MAX:
        abort();
    }
    value->is_set = true;
    return 0;
}

/* One "--..." word. *ret_used: words taken. 1 when it is unknown and may be passed on. */
static int parse_long(struct options *options, char *const *argv, int *ret_used, struct error *err)
{
    const char *name = argv[0] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *option = find_name(options->table, name, length);

    *ret_used = 1;
    if (!option) {
        if (length == 4 && memcmp(name, "help", 4) == 0) {
            options->wants_help = true;
            return 0;
        }
        error_set_class(err, ERROR_INVALID, "unknown flag: --%.*s",
                        (int)(length < 200 ? length : 200), name);
        return -ENOENT;
    }
    if (equals)
        return store(options, option, equals + 1, err);
    if (option->type == OPTION_BOOL)
        return store(options, option, "true", err);
    if (!argv[1])
        return error_set_class(err, ERROR_INVALID, "flag needs an argument: --%s", option->name);
    *ret_used = 2;
    return store(options, option, argv[1], err);
}

/* One "-abc" word. */
static int parse_letters(struct options *options, char *const *argv, int *ret_used,
                         struct error *err)
{
    *ret_used = 1;
    for (const char *p = argv[0] + 1; *p; p++) {
        const struct cli_option *option = find_letter(options->table, *p);
        int r = 0;

        if (!option && *p == 'h') {
            options->wants_help = true;
            return 0;
        }
        if (!option) {
            error_set_class(err, ERROR_INVALID, "unknown shorthand flag: '%c' in -%s", *p,
                            argv[0] + 1);
            return -ENOENT;
        }
        if (p[1] == '=')
            return store(options, option, p + 2, err);
        if (option->type == OPTION_BOOL) {
            r = store(options, option, "true", err);
            if (r < 0)
                return r;
            continue;
        }
        if (p[1])
            return store(options, option, p + 1, err);
        if (!argv[1])
            return error_set_class(err, ERROR_INVALID, "flag needs an argument: '%c' in -%s", *p,
                                   argv[0] + 1);
        *ret_used = 2;
        return store(options, option, argv[1], err);
    }
    return 0;
}

static int parse_words(struct options *options, char *const *argv, unsigned flags,
                       struct error *err)
{
    for (size_t i = 0; argv[i] && !options->wants_help;) {
        const char *word = argv[i];
        bool is_option = word[0] == '-' && word[1];
        int used = 1;
        int r = 0;

        if (string_equal(word, "--"))
            return strv_extend(&options->arguments, argv + i + 1) < 0 ? error_oom(err) : 0;
        if (is_option && word[1] == '-')
            r = parse_long(options, argv + i, &used, err);
        else if (is_option)
            r = parse_letters(options, argv + i, &used, err);
        else if (flags & OPTIONS_STOP_AT_ARGUMENT)
            return strv_extend(&options->arguments, argv + i) < 0 ? error_oom(err) : 0;
        if (r == -ENOENT && (flags & OPTIONS_PASS_UNKNOWN) && options_n_arguments(options) > 0) {
            error_clear(err);
            is_option = false;
            used = 1;
        } else if (r < 0) {
            return r;
        }
        if (!is_option && strv_append(&options->arguments, word) < 0)
            return error_oom(err);
        i += (size_t)used;
    }
    return 0;
}

int options_parse(const struct cli_option *table, char *const *argv, unsigned flags,
                  struct options *ret, struct error *err)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;
    char *none = NULL;
    int r = 0;

    options.table = table;
    options.n_values = table_length(table);
    options.values = calloc(options.n_values + 1, sizeof(*options.values));
    options.arguments = strv_copy(&none);
    if (!options.values || !options.arguments)
        return error_oom(err);
    for (size_t i = 0; i < options.n_values; i++) {
        if (!table[i].fallback || table[i].type == OPTION_LIST)
            continue;
        r = store(&options, &table[i], table[i].fallback, err);
        if (r < 0)
            return r;
        options.values[i].is_set = false;
    }
    r = parse_words(&options, argv, flags, err);
    if (r < 0)
        return r == -ENOENT ? -EINVAL : r;
    *ret = options;
    options = (struct options)OPTIONS_INIT;
    return 0;
}

void options_release(struct options *options)
{
    for (size_t i = 0; options->values && i < options->n_values; i++) {
        free(options->values[i].text);
        strv_free(options->values[i].list);
    }
    free(options->values);
    strv_free(options->arguments);
    *options = (struct options)OPTIONS_INIT;
}

bool options_given(const struct options *options, const char *name)
{
    return slot(options, name)->is_set;
}

bool options_flag(const struct options *options, const char *name)
{
    return slot(options, name)->flag;
}

const char *options_text(const struct options *options, const char *name)
{
    return slot(options, name)->text;
}

char *const *options_list(const struct options *options, const char *name)
{
    return slot(options, name)->list;
}

int64_t options_number(const struct options *options, const char *name)
{
    return slot(options, name)->number;
}

size_t options_n_arguments(const struct options *options)
{
    return strv_length(options->arguments);
}
