/* What a command is, and what it runs in. */
#ifndef HULL_CLI_COMMAND_H
#define HULL_CLI_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

struct cli;
struct client;
struct cli_option;
struct error;
struct options;

enum {
    EXIT_DAEMON = 125, /* the container was not started, or the options are wrong */
    EXIT_CANNOT_EXECUTE = 126,
    EXIT_NOT_FOUND = 127,
    ARGUMENTS_ANY = -1,
};

enum command_flags {
    COMMAND_OPTIONS_FIRST = 1 << 0, /* what follows the first argument is not ours */
    COMMAND_PASS_UNKNOWN = 1 << 1,  /* top: ps options after the container */
    COMMAND_NAMED_ERRORS = 1 << 2,  /* errors start with "hull: " and point to the help (run) */
    COMMAND_HIDDEN = 1 << 3,
};

/* A command is a row in commands.c. `name` is one word, or a group and a word ("network ls").
 * `aliases`: comma and space separated full names, or NULL. */
struct command {
    const char *name;
    const char *aliases;
    const char *usage; /* what follows the name */
    const char *summary;
    const struct cli_option *options; /* NULL: none */
    int min_arguments;
    int max_arguments; /* ARGUMENTS_ANY */
    unsigned flags;    /* enum command_flags */
    /* Returns the exit status (>= 0), or a negative errno value with `err` filled: the caller
     * prints it and exits with 1, or 125 for COMMAND_NAMED_ERRORS. */
    int (*run)(struct cli *cli, const struct options *options, struct error *err);
};

/* A first word that has words below it. */
struct command_group {
    const char *name;
    const char *summary;
};

/* The surroundings of a command. `out` and `err` are stdout and stderr, in tests something else.
 * Streams of containers are written to their descriptors after a flush. */
struct cli {
    FILE *out;
    FILE *err;
    int in;                /* descriptor of stdin; not owned */
    struct client *client; /* made before a command runs; owned */
    const char *host;      /* unix://PATH */
    const struct command *command;
};

extern const struct command *const cli_commands[]; /* ends with NULL */
extern const struct command_group cli_groups[];    /* ends with a NULL name */

/* The whole program: global options, lookup, options, run. `argv[0]` is the program. Returns the
 * exit status. The caller fills out, err and in. */
int cli_main(struct cli *cli, int argc, char *const *argv);

/* The row for the words at argv (name or alias), *ret_words says how many made it up; or NULL. */
const struct command *command_find(char *const *argv, int *ret_words);
const struct command_group *command_group_find(const char *name);
/* Does the row answer to this full name? */
bool command_is_named(const struct command *command, const char *name);

#endif
