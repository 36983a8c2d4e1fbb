#include "cli/container-archive.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/credentials.h"
#include "cli/query.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-write.h"

/* go/src/io/fs: type FileMode. */
#define GO_MODE_DIR (UINT32_C(1) << 31)
#define GO_MODE_SYMLINK (UINT32_C(1) << 27)
#define GO_MODE_SPECIAL (UINT32_C(0x03280000) | UINT32_C(1) << 26)

/* --- what a path is --- */

void path_stat_release(struct path_stat *stat)
{
    free(stat->link_target);
    stat->link_target = NULL;
}

bool path_stat_is_directory(const struct path_stat *stat)
{
    return stat->mode & GO_MODE_DIR;
}

bool path_stat_is_link(const struct path_stat *stat)
{
    return stat->mode & GO_MODE_SYMLINK;
}

bool path_stat_is_special(const struct path_stat *stat)
{
    return stat->mode & GO_MODE_SPECIAL;
}

static void archive_target(struct query *query, const char *container, const char *path)
{
    query_path(query, "/containers/%s/archive", container);
    query_add(query, "path", path);
}

static int read_stat(const char *header, struct path_stat *ret, struct error *err)
{
    CLEANUP_FREE char *text = header ? base64_decode(header) : NULL;
    CLEANUP_JSON json_t *stat = NULL;
    const char *target = "";
    int64_t mode = 0;

    if (!text || json_parse(text, strlen(text), &stat, NULL) < 0 ||
        json_get_i64(stat, "mode", &mode, NULL) <= 0 ||
        json_get_string(stat, "linkTarget", &target, NULL) < 0)
        return error_set(err, -EPROTO, "the daemon does not say what the path is");
    ret->mode = (uint32_t)mode;
    ret->link_target = strdup(target);
    return ret->link_target ? 0 : error_oom(err);
}

int container_path_stat(struct client *client, const char *container, const char *path,
                        struct path_stat *ret, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_FREE char *header = NULL;
    struct client_request request = {.method = "HEAD", .ret_path_stat = &header};
    int r;

    archive_target(&query, container, path);
    request.target = query_text(&query);
    r = client_perform(client, &request, NULL, err);
    return r < 0 ? r : read_stat(header, ret, err);
}

/* --- from the container --- */

static int write_bytes(void *data, const char *bytes, size_t length, struct error *err)
{
    const int *fd = data;
    int r = fd_write_full(*fd, bytes, length);

    return r < 0 ? error_set_errno(err, r, "cannot write the files") : 0;
}

int container_archive_save(struct client *client, const char *container, const char *path, int fd,
                           struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {.method = "GET", .receive = write_bytes, .data = &fd};
    int r;

    archive_target(&query, container, path);
    request.target = query_text(&query);
    r = client_perform(client, &request, NULL, err);
    return r < 0 ? r : 0;
}

/* A thread at the other end of a pipe. */
struct helper {
    int fd; /* its end */
    const char *path;
    const char *name;
    const char *rename_from;
    bool follow;
    uint64_t bytes;
    int result;
    struct error error;
};

static int extract_files(struct helper *helper, struct error *err)
{
    const struct tree_extract_owner owner = {.uid = geteuid(), .gid = getegid()};
    const struct tree_extract_options options = {
        .flags = TREE_EXTRACT_DEVICES | TREE_EXTRACT_KEEP_TYPES,
        .owner = &owner,
        .rename_from = helper->rename_from,
        .rename_to = helper->name,
    };
    const struct tar_source source = tar_source_fd(&helper->fd);
    struct tree_extract_result result = {0};
    CLEANUP_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int r = tree_extract(root, helper->path, &options, &source, &result, err);

    helper->bytes = result.bytes;
    return r;
}

static int write_files(struct helper *helper, struct error *err)
{
    const struct tree_write_options options = {.flags = helper->follow ? TREE_WRITE_FOLLOW : 0,
                                               .name = helper->name};
    const struct tar_sink sink = tar_sink_fd(&helper->fd);
    CLEANUP_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return tree_write(root, helper->path, &options, &sink, err);
}

static void *extract_main(void *data)
{
    struct helper *helper = data;

    helper->result = extract_files(helper, &helper->error);
    helper->fd = fd_close(helper->fd);
    return NULL;
}

static void *write_main(void *data)
{
    struct helper *helper = data;

    helper->result = write_files(helper, &helper->error);
    helper->fd = fd_close(helper->fd);
    return NULL;
}

static int start_helper(struct helper *helper, void *(*body)(void *), bool it_writes,
                        pthread_t *ret_thread, int *ret_fd, struct error *err)
{
    int ends[2];
    int r = fd_pipe(0, ends);

    if (r < 0)
        return error_set_errno(err, r, "cannot make a pipe");
    helper->fd = ends[it_writes ? 1 : 0];
    *ret_fd = ends[it_writes ? 0 : 1];
    r = -pthread_create(ret_thread, NULL, body, helper);
    if (r < 0) {
        helper->fd = fd_close(helper->fd);
        *ret_fd = fd_close(*ret_fd);
        return error_set_errno(err, r, "cannot start a thread");
    }
    return 0;
}

int container_archive_extract(struct client *client, const char *container, const char *path,
                              const char *target, const char *rename_from, const char *rename_to,
                              uint64_t *ret_bytes, struct error *err)
{
    struct helper helper = {.path = target, .rename_from = rename_from, .name = rename_to};
    struct error failure = ERROR_INIT;
    pthread_t thread;
    int fd = -EBADF;
    int r = start_helper(&helper, extract_main, false, &thread, &fd, err);

    if (r < 0)
        return r;
    r = container_archive_save(client, container, path, fd, &failure);
    fd_close(fd);
    pthread_join(thread, NULL);
    /* A broken pipe is what the helper's end looks like from here. */
    if (helper.result < 0 && (r >= 0 || failure.code == -EPIPE))
        return error_copy(err, &helper.error);
    if (r < 0)
        return error_copy(err, &failure);
    *ret_bytes = helper.bytes;
    return 0;
}

/* --- to the container --- */

int container_archive_send(struct client *client, const char *container, const char *path, bool own,
                           int fd, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    struct client_request request = {
        .method = "PUT", .upload = fd, .content_type = "application/x-tar"};
    int r;

    archive_target(&query, container, path);
    query_add(&query, "noOverwriteDirNonDir", "true");
    if (own)
        query_add(&query, "copyUIDGID", "true");
    request.target = query_text(&query);
    r = client_perform(client, &request, NULL, err);
    return r < 0 ? r : 0;
}

int container_archive_upload(struct client *client, const char *container, const char *path,
                             bool own, const char *source, const char *name, bool follow,
                             struct error *err)
{
    struct helper helper = {.path = source, .name = name, .follow = follow};
    struct error failure = ERROR_INIT;
    pthread_t thread;
    int fd = -EBADF;
    int r = start_helper(&helper, write_main, true, &thread, &fd, err);

    if (r < 0)
        return r;
    r = container_archive_send(client, container, path, own, fd, &failure);
    fd_close(fd);
    pthread_join(thread, NULL);
    if (r < 0)
        return error_copy(err, &failure);
    return helper.result < 0 ? error_copy(err, &helper.error) : 0;
}
