/* The options of a command: one table from which they are parsed, completed and explained.
 *
 * The syntax is that of docker's client (the Go package pflag): `--name value`, `--name=value`,
 * `--flag`, `--flag=false`, `-n value`, `-nvalue`, `-n=value`, bundled `-it`, and `--`, after which
 * everything is an argument. Options and arguments may be mixed unless the parse is told to stop at
 * the first argument (run, create and exec: what follows belongs to the container's command).
 *
 * Values are kept in an array parallel to the table and looked up by long name. Asking for a name
 * that the table lacks is a bug in hull and aborts. */
#ifndef HULL_CLI_OPTIONS_H
#define HULL_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum option_type {
    OPTION_BOOL,
    OPTION_STRING,
    OPTION_LIST,    /* a string, may be given again */
    OPTION_INT,     /* signed decimal */
    OPTION_BYTES,   /* "512m", see string_to_size(); -1 is allowed */
    OPTION_DECIMAL, /* "1.5", kept in units of 1e-9 */
    OPTION_TYPE_MAX,
};

enum {
    OPTION_LIST_MAX = 4096,    /* values of one list option */
    OPTION_TABLE_MAX = 128,    /* rows of one table */
    OPTION_VALUE_MAX = 131072, /* bytes of one value */
};

/* A row. The table ends with a row whose name is NULL. */
struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* one-letter form or 0 */
    enum option_type type;
    const char *value;    /* what help calls the value; NULL: the type's usual word */
    const char *help;     /* NULL: works but is not listed (an old spelling) */
    const char *fallback; /* value when not given, as text; shown by help */
    const char *same_as;  /* stores into the row of this name instead */
};

struct option_value {
    bool is_set;
    bool flag;
    int64_t number;
    char *text;
    char **list; /* strings.h vector */
};

struct options {
    const struct cli_option *table;
    struct option_value *values;
    size_t n_values;
    char **arguments; /* what was left over; strings.h vector, never NULL after a parse */
    bool wants_help;
};

#define OPTIONS_INIT  \
    {                 \
        .table = NULL \
    }

enum options_flags {
    OPTIONS_STOP_AT_ARGUMENT = 1 << 0, /* the first argument ends the options */
    OPTIONS_PASS_UNKNOWN = 1 << 1,     /* after the first argument, unknown options are arguments */
};

/* Parses argv (without the command's own words, NULL-terminated). -EINVAL with docker's words for
 * what is wrong. On success *ret must be released. A --help sets wants_help and ends the parse. */
int options_parse(const struct cli_option *table, char *const *argv, unsigned flags,
                  struct options *ret, struct error *err);
void options_release(struct options *options);

/* Given on the command line? */
bool options_given(const struct options *options, const char *name);
bool options_flag(const struct options *options, const char *name);
/* NULL when neither given nor with a fallback. Borrowed. */
const char *options_text(const struct options *options, const char *name);
/* NULL when not given. Borrowed. */
char *const *options_list(const struct options *options, const char *name);
/* OPTION_INT, OPTION_BYTES and OPTION_DECIMAL (1e-9 units); 0 when not given. */
int64_t options_number(const struct options *options, const char *name);
size_t options_n_arguments(const struct options *options);

/* The word for the value of a row in help ("string", "list", ...), "" for a flag. */
const char *option_value_word(const struct cli_option *option);

#endif
