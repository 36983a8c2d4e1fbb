/* docker import: a root file system as an image of one layer. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/blob.h"
#include "image/changes.h"
#include "image/layer-blob.h"
#include "image/layer.h"
#include "image/manifest.h"
#include "image/platform.h"
#include "image/register.h"
#include "image/stream.h"
#include "image/unpack.h"
#include "spec/reference.h"

enum { IMPORT_BLOCK = 256 * 1024 };

struct import {
    struct image_store *store;
    const struct image_import_options *options;
    const struct image_monitor *monitor;
    struct store_lease lease;
    char *name; /* full reference or NULL */
    char blob[DIGEST_TEXT_SIZE];
    int64_t blob_size;
    const char *media_type; /* of the blob */
    char diff_id[DIGEST_TEXT_SIZE];
    char config[DIGEST_TEXT_SIZE];
    int64_t config_size;
};

static int copy_input(struct import *import, int fd, struct error *err)
{
    CLEANUP(blob_writer_release) struct blob_writer writer = BLOB_WRITER_INIT;
    CLEANUP_FREE char *block = malloc(IMPORT_BLOCK);
    if (!block)
        return error_oom(err);
    int r = blob_create(import->store, &writer, err);
    if (r < 0)
        return r;
    for (;;) {
        if ((r = monitor_check(import->monitor, err)) < 0)
            return r;
        ssize_t n = fd_read_full(fd, block, IMPORT_BLOCK);
        if (n < 0)
            return error_set_errno(err, (int)n, "cannot read the archive");
        if (n == 0)
            break;
        if ((r = blob_write(&writer, block, (size_t)n, err)) < 0)
            return r;
    }
    import->blob_size = writer.size;
    return blob_commit(&writer, NULL, &import->lease, import->blob, err);
}

/* Keeps a compression that the manifest can name, and undoes any other. */
static int settle_compression(struct import *import, struct error *err)
{
    char head[LAYER_BLOB_HEAD];
    CLEANUP_CLOSE int fd = blob_open(import->store, import->blob, NULL, err);
    if (fd < 0)
        return fd;
    ssize_t n = fd_read_full(fd, head, sizeof(head));
    if (n < 0)
        return error_set_errno(err, (int)n, "cannot read blob %s", import->blob);
    import->media_type = layer_blob_type(head, (size_t)n);
    if (import->media_type)
        return 0;
    import->media_type = MEDIA_OCI_LAYER;
    return layer_blob_plain(import->store, &import->lease, import->monitor, import->blob,
                            &import->blob_size, err);
}

/* The diff id must be known before the layer is made; so the blob is read twice. */
static int find_diff_id(struct import *import, struct error *err)
{
    CLEANUP(stream_cleanup) struct stream *stream = NULL;
    CLEANUP_CLOSE int fd = blob_open(import->store, import->blob, NULL, err);
    if (fd < 0)
        return fd;
    const struct stream_options options = {
        .fd = fd,
        .limits = UNPACK_LIMITS,
        .monitor = import->monitor,
    };
    int r = stream_open(&options, &stream, err);
    if (r < 0)
        return r;
    return stream_finish(stream, import->diff_id, err);
}

static int apply_changes(const struct import *import, struct image_defaults *defaults,
                         struct error *err)
{
    char *const *changes = import->options->changes;
    if (strv_length(changes) > CHANGES_MAX)
        return error_set_class(err, ERROR_INVALID, "too many changes");
    for (size_t i = 0; changes && changes[i]; i++) {
        int r = changes_apply(defaults, changes[i], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static char *format_config(const struct import *import, const struct image_defaults *defaults)
{
    char when[TIMESTAMP_TEXT_MAX];
    const struct image_platform *asked = &import->options->platform;
    const struct image_platform *own = &import->store->platform;
    const char *message = string_or(import->options->message, "Imported from -");
    json_t *config = image_defaults_to_json(defaults);
    timestamp_format(timestamp_now(), when);
    CLEANUP_JSON json_t *document = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "created", when,
        "architecture", string_or(asked->architecture, own->architecture), "os",
        string_or(asked->os, own->os), "comment", message, "config", config, "rootfs", "type",
        "layers", "diff_ids", import->diff_id, "history", "created", when, "comment", message);
    const char *variant = asked->architecture ? asked->variant : own->variant;
    if (!document || (variant && json_put_string(document, "variant", variant) < 0))
        return NULL;
    return json_format(document);
}

static int write_config(struct import *import, struct error *err)
{
    CLEANUP(image_defaults_release) struct image_defaults defaults = {0};
    int r = apply_changes(import, &defaults, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *text = format_config(import, &defaults);
    if (!text)
        return error_set_class(err, ERROR_INVALID, "the image's message or changes are not UTF-8");
    import->config_size = (int64_t)strlen(text);
    return blob_put(import->store, &import->lease, text, strlen(text), import->config, err);
}

static int finish(struct import *import, struct error *err)
{
    char manifest[DIGEST_TEXT_SIZE];
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    CLEANUP_STRV char **blobs = NULL;
    CLEANUP_STRV char **diff_ids = NULL;
    const struct layer_blob layer = {import->blob, import->blob_size, import->media_type};
    CLEANUP_FREE char *text = manifest_format(import->config, import->config_size, &layer, 1);
    if (!text || strv_append(&blobs, import->blob) < 0 ||
        strv_append(&diff_ids, import->diff_id) < 0)
        return error_oom(err);
    int r = blob_put(import->store, &import->lease, text, strlen(text), manifest, err);
    if (r < 0 || (r = store_sync(import->store, err)) < 0 ||
        (r = register_prepare(import->config, manifest, MEDIA_OCI_MANIFEST, (int64_t)strlen(text),
                              blobs, diff_ids, &entry, err)) < 0)
        return r;
    return register_name(import->store, &entry, import->name, NULL, NULL, err);
}

static int run_import(struct import *import, int fd, struct error *err)
{
    int r = copy_input(import, fd, err);
    if (r < 0 || (r = settle_compression(import, err)) < 0 || (r = find_diff_id(import, err)) < 0)
        return r;
    /* A layer's chain id is its diff id when nothing is below it. */
    const struct layer_source source = {
        .blob = import->blob,
        .diff_id = import->diff_id,
        .chain = import->diff_id,
        .monitor = import->monitor,
    };
    if (store_lease_chain(import->store, &import->lease, import->diff_id) < 0)
        return error_oom(err);
    if ((r = layer_add(import->store, &source, err)) < 0 || (r = write_config(import, err)) < 0)
        return r;
    return finish(import, err);
}

static int check_options(struct import *import, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP(image_defaults_release) struct image_defaults defaults = {0};
    /* Before a long upload, not after it. */
    int r = apply_changes(import, &defaults, err);
    if (r < 0 || string_is_empty(import->options->reference))
        return r;
    if ((r = reference_parse(import->options->reference, &reference, err)) < 0)
        return r;
    if (reference.digest)
        return error_set_class(err, ERROR_INVALID, "cannot import digest reference");
    if (reference_default_tag(&reference) < 0 || !(import->name = reference_string(&reference)))
        return error_oom(err);
    return 0;
}

int image_import(struct image_store *store, int fd, const struct image_import_options *options,
                 const struct image_monitor *monitor, char **ret_id, struct error *err)
{
    struct import import = {.store = store, .options = options, .monitor = monitor};
    int r = check_options(&import, err);
    if (r == 0) {
        store_lease_begin(store, &import.lease);
        r = run_import(&import, fd, err);
        store_lease_end(store, &import.lease, r < 0);
    }
    free(import.name);
    if (r == 0 && ret_id) {
        *ret_id = strdup(import.config);
        if (!*ret_id)
            return error_oom(err);
    }
    return r;
}
