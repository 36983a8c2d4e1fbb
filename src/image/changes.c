#include "image/changes.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "spec/image_config.h"

#define BLANKS " \t\r\n"

static int bad(struct error *err, const char *instruction, const char *why)
{
    return error_set_class(err, ERROR_INVALID, "%s %s", instruction, why);
}

/* A JSON array of strings, as CMD ["a", "b"]: 1, or 0 when it is something else. */
static int parse_json_form(const char *text, char ***ret, struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_STRV char **list = strv_copy(NULL);
    if (text[0] != '[' || json_parse(text, strlen(text), &document, NULL) < 0 ||
        !json_is_array(document))
        return 0;
    if (!list)
        return error_oom(err);
    for (size_t i = 0; i < json_array_size(document); i++) {
        const char *item = json_string_value(json_array_get(document, i));
        if (!item)
            return 0;
        if (i >= IMAGE_CONFIG_LIST_MAX || strv_append(&list, item) < 0)
            return error_oom(err);
    }
    *ret = TAKE_PTR(list);
    return 1;
}

static int set_list(char ***target, char ***list)
{
    strv_free(*target);
    *target = TAKE_PTR(*list);
    return 0;
}

static int apply_command(char ***target, const char *text, struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    int r = parse_json_form(text, &list, err);
    if (r < 0)
        return r;
    if (r == 0 && *text &&
        (strv_append(&list, "/bin/sh") < 0 || strv_append(&list, "-c") < 0 ||
         strv_append(&list, text) < 0))
        return error_oom(err);
    return set_list(target, &list);
}

/* Words separated by blanks; quotes group, a backslash takes the next character as it is, both go
 * away. Returns 0, -EINVAL for a quote that is not closed, -ENOMEM. */
static int split_words(const char *text, char ***ret)
{
    CLEANUP_STRV char **words = strv_copy(NULL);
    if (!words)
        return -ENOMEM;
    while (*(text += strspn(text, BLANKS))) {
        CLEANUP(buffer_release) struct buffer word = BUFFER_INIT(CHANGE_LINE_MAX);
        char quote = '\0';
        int r = 0;
        for (; r == 0 && *text && (quote || !strchr(BLANKS, *text)); text++) {
            if (quote ? *text == quote : (*text == '"' || *text == '\'')) {
                quote = quote ? '\0' : *text;
                continue;
            }
            if (*text == '\\' && quote != '\'' && text[1])
                text++;
            r = buffer_append_char(&word, *text);
        }
        if (r < 0 || strv_append(&words, buffer_string(&word)) < 0)
            return -ENOMEM;
        if (quote)
            return -EINVAL;
    }
    *ret = TAKE_PTR(words);
    return 0;
}

/* "a=b c=d", or the old "a the rest of the line", into words NAME=VALUE. */
static int split_pairs(const char *instruction, const char *text, char ***ret, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    int r = split_words(text, &words);
    if (r == -EINVAL)
        return bad(err, instruction, "has a quote that is not closed");
    if (r < 0)
        return error_oom(err);
    if (strv_length(words) == 0)
        return bad(err, instruction, "requires at least one argument");
    if (!strchr(words[0], '=')) {
        size_t name = strcspn(text, BLANKS);
        const char *value = text + name + strspn(text + name, BLANKS);
        if (!*value)
            return bad(err, instruction, "must have two arguments");
        return strv_appendf(ret, "%.*s=%s", (int)name, text, value) < 0 ? error_oom(err) : 0;
    }
    for (size_t i = 0; words[i]; i++)
        if (!strchr(words[i], '=') || words[i][0] == '=')
            return error_set_class(err, ERROR_INVALID,
                                   "Syntax error - can't find = in \"%s\". Must be of the form: "
                                   "name=value",
                                   words[i]);
    *ret = TAKE_PTR(words);
    return 0;
}

static int apply_env(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_STRV char **pairs = NULL;
    int r = split_pairs("ENV", text, &pairs, err);
    for (size_t i = 0; r == 0 && pairs && pairs[i]; i++)
        if (strv_env_set(&defaults->env, pairs[i]) < 0)
            r = error_oom(err);
    return r;
}

static int apply_label(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_STRV char **pairs = NULL;
    int r = split_pairs("LABEL", text, &pairs, err);
    if (r < 0)
        return r;
    if (!defaults->labels && !(defaults->labels = json_object()))
        return error_oom(err);
    for (size_t i = 0; pairs && pairs[i]; i++) {
        char *equals = strchr(pairs[i], '=');
        *equals = '\0';
        if (json_put_string(defaults->labels, pairs[i], equals + 1) < 0)
            return error_set_class(err, ERROR_INVALID, "LABEL is not valid UTF-8");
    }
    return 0;
}

static int add_port(struct image_defaults *defaults, int port, const char *protocol)
{
    CLEANUP_FREE char *text = string_format("%d/%s", port, protocol);
    if (!text)
        return -ENOMEM;
    return strv_contains(defaults->exposed_ports, text)
               ? 0
               : strv_append(&defaults->exposed_ports, text);
}

/* "80", "80/udp", "8000-8010/tcp" */
static int apply_port(struct image_defaults *defaults, const char *word, struct error *err)
{
    CLEANUP_STRV char **parts = NULL;
    CLEANUP_STRV char **range = NULL;
    int first, last;
    if (strv_split(word, '/', &parts) < 0 || strv_split(parts[0], '-', &range) < 0)
        return error_oom(err);
    CLEANUP_FREE char *protocol = string_lower(parts[1] ? parts[1] : "tcp");
    if (!protocol)
        return error_oom(err);
    if (strv_length(parts) > 2 || strv_length(range) > 2 ||
        string_to_int(range[0], 1, 65535, &first) < 0 ||
        string_to_int(range[1] ? range[1] : range[0], first, 65535, &last) < 0)
        return error_set_class(err, ERROR_INVALID, "Invalid containerPort: %s", word);
    if (!string_equal(protocol, "tcp") && !string_equal(protocol, "udp") &&
        !string_equal(protocol, "sctp"))
        return error_set_class(err, ERROR_INVALID, "Invalid proto: %s", protocol);
    for (int port = first; port <= last; port++)
        if (add_port(defaults, port, protocol) < 0)
            return error_oom(err);
    return 0;
}

static int apply_expose(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    int r = split_words(text, &words);
    if (r < 0 || strv_length(words) == 0)
        return bad(err, "EXPOSE", "requires at least one argument");
    for (size_t i = 0; r == 0 && words[i]; i++)
        r = apply_port(defaults, words[i], err);
    return r;
}

static int apply_volume(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_STRV char **words = NULL;
    int r = parse_json_form(text, &words, err);
    if (r == 0)
        r = split_words(text, &words);
    if (r < 0 || strv_length(words) == 0)
        return bad(err, "VOLUME", "requires at least one argument");
    for (size_t i = 0; words[i]; i++) {
        if (!*words[i])
            return error_set_class(err, ERROR_INVALID,
                                   "VOLUME specified can not be an empty string");
        if (!strv_contains(defaults->volumes, words[i]) &&
            strv_append(&defaults->volumes, words[i]) < 0)
            return error_oom(err);
    }
    return 0;
}

static int apply_workdir(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_FREE char *joined = path_is_absolute(text)
                                    ? strdup(text)
                                    : path_join(string_or(defaults->working_dir, "/"), text);
    char *normal = joined ? path_normalize(joined) : NULL;
    if (!normal)
        return error_oom(err);
    free(defaults->working_dir);
    defaults->working_dir = normal;
    return 0;
}

/* "1h30m", "10s", "500ms" in nanoseconds: Go's time.ParseDuration without signs and fractions. */
static int parse_duration(const char *text, int64_t *ret)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"ms", 1000000},      {"us", 1000},       {"ns", 1},
                 {"h", 3600000000000}, {"m", 60000000000}, {"s", 1000000000}};
    int64_t total = 0;
    if (!*text)
        return -EINVAL;
    while (*text) {
        int64_t number = 0;
        size_t digits = strspn(text, "0123456789"), unit = 0;
        if (digits == 0 || digits > 9)
            return -EINVAL;
        for (; digits > 0; digits--)
            number = number * 10 + (*text++ - '0');
        while (unit < 6 && !string_starts_with(text, units[unit].name))
            unit++;
        if (unit == 6 || __builtin_mul_overflow(number, units[unit].factor, &number) ||
            __builtin_add_overflow(total, number, &total))
            return -EINVAL;
        text += strlen(units[unit].name);
    }
    *ret = total;
    return 0;
}

static int apply_health_option(json_t *health, const char *word, struct error *err)
{
    static const struct {
        const char *option;
        const char *member;
    } options[] = {{"--interval=", "Interval"},
                   {"--timeout=", "Timeout"},
                   {"--start-period=", "StartPeriod"},
                   {"--start-interval=", "StartInterval"}};
    int64_t value;
    int retries;
    if (string_starts_with(word, "--retries=")) {
        if (string_to_int(word + strlen("--retries="), 0, 1000000, &retries) < 0)
            return bad(err, "HEALTHCHECK", "--retries must be a number that is not negative");
        return json_put_i64(health, "Retries", retries) < 0 ? error_oom(err) : 0;
    }
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (!string_starts_with(word, options[i].option))
            continue;
        if (parse_duration(word + strlen(options[i].option), &value) < 0)
            return error_set_class(err, ERROR_INVALID, "time: invalid duration \"%s\"",
                                   word + strlen(options[i].option));
        return json_put_i64(health, options[i].member, value) < 0 ? error_oom(err) : 0;
    }
    return error_set_class(err, ERROR_INVALID, "Unknown flag: %s", word);
}

static int health_test(json_t *health, const char *text, struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    CLEANUP_STRV char **test = NULL;
    size_t word = strcspn(text, BLANKS);
    CLEANUP_FREE char *type = strndup(text, word);
    text += word + strspn(text + word, BLANKS);
    if (!type)
        return error_oom(err);
    if (string_equal_nocase(type, "NONE")) {
        if (*text)
            return bad(err, "HEALTHCHECK", "NONE takes no arguments");
        return json_put(health, "Test", json_pack("[s]", "NONE")) < 0 ? error_oom(err) : 0;
    }
    if (!string_equal_nocase(type, "CMD"))
        return error_set_class(err, ERROR_INVALID, "Unknown type \"%s\" in HEALTHCHECK (try CMD)",
                               type);
    if (!*text)
        return error_set_class(err, ERROR_INVALID, "Missing command after HEALTHCHECK CMD");
    int r = parse_json_form(text, &list, err);
    if (r < 0)
        return r;
    if (strv_append(&test, r == 1 ? "CMD" : "CMD-SHELL") < 0 ||
        (r == 1 ? strv_extend(&test, list) : strv_append(&test, text)) < 0 ||
        json_put_strv(health, "Test", test) < 0)
        return error_oom(err);
    return 0;
}

static int apply_healthcheck(struct image_defaults *defaults, const char *text, struct error *err)
{
    CLEANUP_JSON json_t *health = json_object();
    if (!health)
        return error_oom(err);
    while (string_starts_with(text, "--")) {
        size_t length = strcspn(text, BLANKS);
        CLEANUP_FREE char *word = strndup(text, length);
        if (!word)
            return error_oom(err);
        int r = apply_health_option(health, word, err);
        if (r < 0)
            return r;
        text += length + strspn(text + length, BLANKS);
    }
    int r = health_test(health, text, err);
    if (r < 0)
        return r;
    json_decref(defaults->healthcheck);
    defaults->healthcheck = TAKE_PTR(health);
    return 0;
}

static int apply_text(char **target, const char *instruction, const char *text, struct error *err)
{
    if (text[strcspn(text, BLANKS)])
        return bad(err, instruction, "requires exactly one argument");
    return string_replace(target, text) < 0 ? error_oom(err) : 0;
}

static int apply_instruction(struct image_defaults *defaults, const char *name, const char *text,
                             struct error *err)
{
    if (strcmp(name, "CMD") == 0)
        return apply_command(&defaults->cmd, text, err);
    if (strcmp(name, "ENTRYPOINT") == 0)
        return apply_command(&defaults->entrypoint, text, err);
    if (!*text)
        return bad(err, name, "requires at least one argument");
    if (strcmp(name, "ENV") == 0)
        return apply_env(defaults, text, err);
    if (strcmp(name, "LABEL") == 0)
        return apply_label(defaults, text, err);
    if (strcmp(name, "EXPOSE") == 0)
        return apply_expose(defaults, text, err);
    if (strcmp(name, "VOLUME") == 0)
        return apply_volume(defaults, text, err);
    if (strcmp(name, "WORKDIR") == 0)
        return apply_workdir(defaults, text, err);
    if (strcmp(name, "USER") == 0)
        return apply_text(&defaults->user, name, text, err);
    if (strcmp(name, "STOPSIGNAL") == 0)
        return apply_text(&defaults->stop_signal, name, text, err);
    if (strcmp(name, "HEALTHCHECK") == 0)
        return apply_healthcheck(defaults, text, err);
    if (strcmp(name, "ONBUILD") == 0)
        return strv_append(&defaults->on_build, text) < 0 ? error_oom(err) : 0;
    return error_set_class(err, ERROR_INVALID, "%s is not a valid change command", name);
}

int changes_apply(struct image_defaults *defaults, const char *line, struct error *err)
{
    if (strnlen(line, CHANGE_LINE_MAX) == CHANGE_LINE_MAX)
        return error_set_class(err, ERROR_INVALID, "a change is too long");
    line += strspn(line, BLANKS);
    size_t length = strcspn(line, BLANKS);
    CLEANUP_FREE char *name = strndup(line, length);
    CLEANUP_FREE char *text = strdup(line + length + strspn(line + length, BLANKS));
    if (!name || !text)
        return error_oom(err);
    if (!*name)
        return 0;
    for (char *p = name; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    for (size_t end = strlen(text); end > 0 && strchr(BLANKS, text[end - 1]);)
        text[--end] = '\0';
    return apply_instruction(defaults, name, text, err);
}
