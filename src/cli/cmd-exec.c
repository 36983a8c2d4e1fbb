#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/attachment.h"
#include "cli/client.h"
#include "cli/container-config.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/terminal.h"

static const struct cli_option options_table[] = {
    {.name = "detach",
     .letter = 'd',
     .type = OPTION_BOOL,
     .help = "Detached mode: run command in the background"},
    {.name = "detach-keys",
     .type = OPTION_STRING,
     .help = "Override the key sequence for detaching a container"},
    {.name = "env", .letter = 'e', .type = OPTION_LIST, .help = "Set environment variables"},
    {.name = "env-file", .type = OPTION_LIST, .help = "Read in a file of environment variables"},
    {.name = "interactive",
     .letter = 'i',
     .type = OPTION_BOOL,
     .help = "Keep STDIN open even if not attached"},
    {.name = "privileged", .type = OPTION_BOOL, .help = "Give extended privileges to the command"},
    {.name = "tty", .letter = 't', .type = OPTION_BOOL, .help = "Allocate a pseudo-TTY"},
    {.name = "user",
     .letter = 'u',
     .type = OPTION_STRING,
     .help = "Username or UID (format: \"<name|uid>[:<group|gid>]\")"},
    {.name = "workdir",
     .letter = 'w',
     .type = OPTION_STRING,
     .help = "Working directory inside the container"},
    {.name = NULL},
};

static int put_console_size(const struct cli *cli, json_t *body, struct error *err)
{
    unsigned rows = 0;
    unsigned columns = 0;

    if (!terminal_size(fileno(cli->out), &rows, &columns))
        return 0;
    if (json_put(body, "ConsoleSize", json_pack("[i,i]", (int)rows, (int)columns)) < 0)
        return error_oom(err);
    return 0;
}

static int build(const struct cli *cli, const struct options *options, json_t **ret,
                 struct error *err)
{
    CLEANUP_JSON json_t *body = json_object();
    json_t *env = NULL;
    bool detach = options_flag(options, "detach");
    bool tty = options_flag(options, "tty");
    int r = container_config_env(options, &env, err);

    if (r < 0)
        return r;
    if ((env && json_put(body, "Env", env) < 0) ||
        json_put_bool(body, "AttachStdin", !detach && options_flag(options, "interactive")) < 0 ||
        json_put_bool(body, "AttachStdout", !detach) < 0 ||
        json_put_bool(body, "AttachStderr", !detach) < 0 || json_put_bool(body, "Tty", tty) < 0 ||
        json_put_bool(body, "Privileged", options_flag(options, "privileged")) < 0 ||
        json_put_string(body, "DetachKeys", options_text(options, "detach-keys")) < 0 ||
        json_put_string(body, "User", options_text(options, "user")) < 0 ||
        json_put_string(body, "WorkingDir", options_text(options, "workdir")) < 0 ||
        json_put_strv(body, "Cmd", options->arguments + 1) < 0)
        return error_set_class(err, ERROR_INVALID, "the command is not UTF-8");
    r = tty && !detach ? put_console_size(cli, body, err) : 0;
    if (r == 0)
        *ret = TAKE_PTR(body);
    return r;
}

static int create(struct cli *cli, const struct options *options, char **ret_id, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *body = NULL;
    CLEANUP_JSON json_t *answer = NULL;
    const char *id = NULL;
    int r = build(cli, options, &body, err);

    query_path(&query, "/containers/%s/exec", options->arguments[0]);
    if (r == 0)
        r = client_post(cli->client, query_text(&query), body, &answer, err);
    if (r >= 0)
        r = json_need_string(answer, "Id", &id, err);
    if (r < 0)
        return r;
    *ret_id = string_format("%s", id);
    return *ret_id ? 0 : error_oom(err);
}

static int start_detached(struct cli *cli, const char *id, const json_t *body, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    int r = 0;

    query_path(&query, "/exec/%s/start", id);
    r = client_post(cli->client, query_text(&query), body, NULL, err);
    return r < 0 ? r : 0;
}

static int exit_status(struct cli *cli, const char *id, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *answer = NULL;
    int64_t status = 0;
    int r = 0;

    query_path(&query, "/exec/%s/json", id);
    r = client_get(cli->client, query_text(&query), &answer, err);
    if (r >= 0)
        r = json_need_i64(answer, "ExitCode", &status, err);
    return r < 0 ? r : (int)(status & 0xff);
}

static int start_attached(struct cli *cli, const struct options *options, const char *id,
                          const json_t *body, struct error *err)
{
    CLEANUP(attachment_release) struct attachment attachment = ATTACHMENT_INIT;
    bool detached = false;
    const struct attachment_spec spec = {
        .id = id,
        .is_exec = true,
        .body = body,
        .tty = options_flag(options, "tty"),
        .in = options_flag(options, "interactive"),
        .out = true,
        .err = true,
        .detach_keys = options_text(options, "detach-keys"),
    };
    int r = attachment_open(cli, &spec, &attachment, err);

    if (r == 0)
        r = attachment_prepare(&attachment, err);
    if (r == 0)
        r = attachment_run(&attachment, &detached, err);
    if (r < 0)
        return r;
    if (detached)
        return error_set(err, -EINTR, "read escape sequence");
    return exit_status(cli, id, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *body = json_object();
    CLEANUP_FREE char *id = NULL;
    bool detach = options_flag(options, "detach");
    bool tty = options_flag(options, "tty");
    int r = attachment_check_tty(cli, !detach && options_flag(options, "interactive"), tty, err);

    if (r == 0)
        r = create(cli, options, &id, err);
    if (r == 0 &&
        (json_put_bool(body, "Detach", detach) < 0 || json_put_bool(body, "Tty", tty) < 0))
        r = error_oom(err);
    if (r == 0 && tty && !detach)
        r = put_console_size(cli, body, err);
    if (r < 0)
        return r;
    return detach ? start_detached(cli, id, body, err)
                  : start_attached(cli, options, id, body, err);
}

const struct command command_exec = {
    .name = "exec",
    .aliases = "container exec",
    .usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
    .summary = "Execute a command in a running container",
    .options = options_table,
    .min_arguments = 2,
    .max_arguments = ARGUMENTS_ANY,
    .flags = COMMAND_OPTIONS_FIRST,
    .run = run,
};
