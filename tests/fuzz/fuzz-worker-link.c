/* The worker's side of the link to its agent, which may be a hostile guest: answers to create,
 * start, and to what clients asked for, events, and the container's streams. The first byte says
 * how far the agent plays its part before it goes on with the rest of the input.
 *
 * The worker is whole but for its placement (worker_place.c), whose stand-ins are here. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "compute/worker_internal.h"
#include "wire/frame.h"

enum { CREATED = 1, STARTED = 2, ATTACHED = 4, ASKED = 8, PIECE = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- stand-ins --- */

int worker_place(struct worker *worker, struct error *err)
{
    int ends[2];

    if (fd_socketpair(SOCK_STREAM, ends) < 0)
        abort();
    (void)close(ends[1]); /* what the worker says is of no interest */
    return worker_link_open(worker, ends[0], true, "the guest", err);
}

void worker_displace(struct worker *worker)
{
    worker->link = wire_connection_free(worker->link);
}

int worker_disks(const struct compute_job *job, struct vm_disk disks[VM_DISKS_MAX], size_t *ret_n,
                 struct error *err)
{
    (void)job;
    (void)disks;
    (void)ret_n;
    return error_set(err, -EOPNOTSUPP, "no VM here");
}

int worker_plug(struct worker *worker, vm_plugged_function *plugged, struct error *err)
{
    (void)worker;
    (void)plugged;
    return error_set(err, -EOPNOTSUPP, "no VM here");
}

unsigned worker_boot_time(const struct worker *worker)
{
    (void)worker;
    return 1;
}

void worker_drop_vm(struct worker *worker)
{
    worker_displace(worker);
}

void worker_quote_console(const struct worker *worker, struct error *error)
{
    (void)worker;
    (void)error;
}

void worker_make_line(char *text)
{
    (void)text;
}

char *worker_console_path(const struct compute_job *job)
{
    return path_join(job->directory, "console.log");
}

/* --- the worker --- */

static char directory[] = "/tmp/hull-fuzz-worker-XXXXXX";

static void remove_directory(void)
{
    (void)path_remove_tree(AT_FDCWD, directory, NULL);
}

static void write_file(const char *name, const char *text)
{
    CLEANUP_FREE char *path = path_join(directory, name);

    if (file_replace(AT_FDCWD, path, text, strlen(text), 0600, NULL) < 0)
        abort();
}

static void make_directory(void)
{
    char job[512];

    if (!strstr(directory, "XXXXXX"))
        return;
    if (!mkdtemp(directory))
        abort();
    (void)atexit(remove_directory);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)snprintf(
        job, sizeof(job),
        "{\"id\":\"ab\",\"isolation\":\"process\",\"directory\":\"%s\",\"runtime_dir\":\"%s/"
        "run\",\"target\":\"/nowhere\",\"open_stdin\":true,\"log\":{\"driver\":\"none\"}}",
        directory, directory);
    write_file("worker.json", job);
    write_file("config.json", "{}");
}

static void note(const char *text, void *data)
{
    (void)text;
    (void)data;
}

/* --- the guest --- */

static void say_bytes(struct worker *worker, const void *bytes, size_t length)
{
    if (worker->link)
        (void)wire_connection_feed(worker->link, bytes, length, NULL);
}

static void say(struct worker *worker, const char *json)
{
    uint8_t header[FRAME_HEADER_SIZE];

    frame_encode_header(header, FRAME_CONTROL, 0, strlen(json), 0);
    say_bytes(worker, header, sizeof(header));
    say_bytes(worker, json, strlen(json));
}

/* --- a client, which reads nothing --- */

static const struct wire_handler client_handler = {.request = NULL};

static void add_client(struct worker *worker, struct worker_client *client)
{
    static const char hello[] = "{\"hello\":{\"protocol\":1}}";
    uint8_t header[FRAME_HEADER_SIZE];

    client->worker = worker;
    client->serial = ++worker->last_serial;
    if (wire_connection_new(WIRE_SERVER, "fuzz", "the client", &client_handler, client,
                            &client->connection, NULL) < 0)
        abort();
    frame_encode_header(header, FRAME_CONTROL, 0, sizeof(hello) - 1, 0);
    (void)wire_connection_feed(client->connection, header, sizeof(header), NULL);
    (void)wire_connection_feed(client->connection, hello, sizeof(hello) - 1, NULL);
    list_append(&worker->clients, &client->node);
    worker->n_clients++;
}

static void ask(struct worker_client *client, const char *op, const char *request)
{
    CLEANUP_JSON json_t *json = NULL;

    if (json_parse(request, strlen(request), &json, NULL) < 0)
        abort();
    worker_forward(client, 1, op, json);
}

static void play(struct worker *worker, struct worker_client *client, uint8_t choice)
{
    CLEANUP_JSON json_t *attach =
        json_pack("{s:{s:i,s:i,s:i}}", "streams", "stdin", 1, "stdout", 3, "stderr", 5);

    if (choice & ATTACHED)
        (void)worker_attach(client, attach, NULL);
    worker->status = WORKER_STARTING;
    if (worker_place(worker, NULL) < 0)
        abort();
    say(worker, "{\"hello\":{\"protocol\":1}}");
    if (choice & CREATED)
        say(worker, "{\"id\":1,\"ok\":{\"warnings\":[\"one\"]}}");
    if (choice & STARTED)
        say(worker, "{\"id\":2,\"ok\":{\"pid\":2}}");
    if (!(choice & ASKED) || !worker->link || worker->status != WORKER_RUNNING)
        return;
    ask(client, "exec",
        "{\"exec\":\"abcd\",\"process\":{},\"streams\":{\"stdin\":7,\"stdout\":9,\"stderr\":11}}");
    ask(client, "processes", "{}");
    ask(client, "archive-read", "{\"path\":\"/\",\"streams\":{\"stdout\":13}}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker_client *client = calloc(1, sizeof(*client));
    struct worker *worker = NULL;
    struct loop *loop = NULL;
    struct error error = ERROR_INIT;

    make_directory();
    if (!client || size == 0) {
        free(client);
        return 0;
    }
    if (loop_new(&loop, &error) < 0 ||
        worker_new(loop, directory, note, NULL, &worker, &error) < 0) {
        (void)fprintf(stderr, "%s\n", error.message);
        abort();
    }
    add_client(worker, client);
    play(worker, client, data[0]);
    for (size_t at = 1; at < size && worker->link; at += PIECE)
        say_bytes(worker, data + at, size - at < PIECE ? size - at : PIECE);
    if (worker->status > WORKER_ENDING)
        abort();
    (void)worker_free(worker);
    (void)loop_free(loop);
    return 0;
}
