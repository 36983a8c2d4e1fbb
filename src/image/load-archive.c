#include "image/load-archive.h"

#include <errno.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "image/blob.h"
#include "image/layer-blob.h"
#include "image/manifest.h"
#include "image/store.h"
#include "image/stream.h"
#include "image/unpack.h"
#include "spec/reference.h"

/* Compressed layers inside a compressed archive: the outer one hardly shrinks. */
static const struct stream_limits load_limits = {
    .bytes = INT64_C(1) << 42, .allowance = INT64_C(8) << 30, .ratio = 1100};

void load_archive_release(struct load_archive *archive)
{
    for (size_t i = 0; i < archive->n; i++) {
        free(archive->items[i].name);
        free(archive->items[i].target);
    }
    free(archive->items);
    archive->items = NULL;
    archive->n = 0;
}

static struct load_item *new_item(struct load_archive *archive, char *name)
{
    struct load_item *items = reallocarray(archive->items, archive->n + 1, sizeof(*archive->items));
    if (!items)
        return NULL;
    archive->items = items;
    items[archive->n] = (struct load_item){.name = name};
    return &items[archive->n++];
}

static int copy_data(struct stream *stream, struct archive *tar, struct blob_writer *writer,
                     struct load_item *item, struct error *err)
{
    const void *block;
    size_t length;
    int64_t offset;
    int r;
    while ((r = archive_read_data_block(tar, &block, &length, &offset)) != ARCHIVE_EOF) {
        if (r < ARCHIVE_WARN)
            return stream_error(stream, tar, err);
        if (offset != writer->size)
            return error_set_class(err, ERROR_INVALID, "sparse files are not expected here");
        if (writer->size == 0 && length > 0)
            item->media_type = layer_blob_type(block, length);
        r = blob_write(writer, block, length, err);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The digest is what a user can look for; a file's name in the archive often is none. */
static int damaged_file(const struct load_archive *archive, const char *title, const char *name,
                        int r, struct error *err)
{
    char digest[DIGEST_TEXT_SIZE];
    if (title == name && load_damaged_layer(archive, name, digest))
        return error_wrap(err, r, "layer %s (%s)", digest, name);
    return error_wrap(err, r, "%s", title);
}

static int add_file(struct load_archive *archive, struct stream *stream, struct archive *tar,
                    struct load_item *item, struct error *err)
{
    static const char blobs[] = "blobs/sha256/";
    CLEANUP(blob_writer_release) struct blob_writer writer = BLOB_WRITER_INIT;
    char expected[DIGEST_TEXT_SIZE];
    bool named =
        string_starts_with(item->name, blobs) && string_is_hex(item->name + sizeof(blobs) - 1, 64);
    item->media_type = MEDIA_OCI_LAYER;
    if (named)
        snprintf(expected, sizeof(expected), "sha256:%s", item->name + sizeof(blobs) - 1);
    int r = blob_create(archive->store, &writer, err);
    if (r < 0)
        return r;
    r = copy_data(stream, tar, &writer, item, err);
    if (r < 0)
        return damaged_file(archive, named ? expected : item->name, item->name, r, err);
    item->size = writer.size;
    return blob_commit(&writer, named ? expected : NULL, archive->lease, item->digest, err);
}

/* A symbolic link counts from its own directory, a hard link from the root. */
static int add_link(struct load_item *item, const char *target, bool symbolic, struct error *err)
{
    CLEANUP_FREE char *full = NULL;
    const char *slash = strrchr(item->name, '/');
    if (symbolic && slash && target[0] != '/')
        full = string_format("%.*s/%s", (int)(slash - item->name), item->name, target);
    else
        full = strdup(target);
    return full ? unpack_clean_name(full, &item->target, err) : error_oom(err);
}

static int add_entry(struct load_archive *archive, struct stream *stream, struct archive *tar,
                     struct archive_entry *entry, struct error *err)
{
    CLEANUP_FREE char *name = NULL;
    const char *raw = archive_entry_pathname(entry);
    const char *hardlink = archive_entry_hardlink(entry);
    mode_t type = archive_entry_filetype(entry);
    if (!raw)
        return error_set_class(err, ERROR_INVALID, "an entry has no name");
    if (!hardlink && type != AE_IFREG && type != AE_IFLNK)
        return 0;
    int r = unpack_clean_name(raw, &name, err);
    if (r < 0)
        return r;
    if (archive->n >= LOAD_ENTRIES_MAX)
        return error_set_class(err, ERROR_INVALID, "archive has more than %d files",
                               (int)LOAD_ENTRIES_MAX);
    struct load_item *item = new_item(archive, name);
    if (!item)
        return error_oom(err);
    (void)TAKE_PTR(name);
    if (hardlink)
        return add_link(item, hardlink, false, err);
    if (type == AE_IFLNK)
        return add_link(item, string_or(archive_entry_symlink(entry), ""), true, err);
    return add_file(archive, stream, tar, item, err);
}

static int read_entries(struct load_archive *archive, struct stream *stream, struct archive *tar,
                        struct error *err)
{
    struct archive_entry *entry;
    int r;
    while ((r = archive_read_next_header(tar, &entry)) != ARCHIVE_EOF) {
        if (r < ARCHIVE_WARN) {
            char digest[DIGEST_TEXT_SIZE];
            r = stream_error(stream, tar, err);
            return load_damaged_layer(archive, NULL, digest)
                       ? error_wrap(err, r, "layer %s", digest)
                       : r;
        }
        r = add_entry(archive, stream, tar, entry, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int load_archive_read(struct load_archive *archive, int fd, const struct image_monitor *monitor,
                      struct error *err)
{
    CLEANUP(stream_cleanup) struct stream *stream = NULL;
    struct archive *tar = NULL;
    char digest[DIGEST_TEXT_SIZE];
    const struct stream_options options = {.fd = fd, .limits = load_limits, .monitor = monitor};
    int r = stream_open(&options, &stream, err);
    if (r < 0 || (r = stream_open_tar(stream, &tar, err)) < 0)
        return error_wrap(err, r, "archive");
    r = read_entries(archive, stream, tar, err);
    archive_read_free(tar);
    if (r < 0)
        return error_wrap(err, r, "archive");
    /* To the end, so that whoever writes into the pipe is not cut off. */
    r = stream_finish(stream, digest, err);
    return r < 0 ? error_wrap(err, r, "archive") : 0;
}

static const struct load_item *find_plain(const struct load_archive *archive, const char *name)
{
    /* The last of several entries with one name counts, as when a tar is unpacked. */
    for (size_t i = archive->n; i-- > 0;)
        if (strcmp(archive->items[i].name, name) == 0)
            return &archive->items[i];
    return NULL;
}

const struct load_item *load_archive_find(const struct load_archive *archive, const char *name)
{
    CLEANUP_FREE char *clean = NULL;
    if (unpack_clean_name(name, &clean, NULL) < 0)
        return NULL;
    const struct load_item *item = find_plain(archive, clean);
    for (int links = 0; item && item->target; links++) {
        if (links == LOAD_LINKS_MAX)
            return NULL;
        item = find_plain(archive, item->target);
    }
    return item;
}

const struct load_item *load_archive_find_blob(const struct load_archive *archive,
                                               const char *digest)
{
    char name[96];
    if (!digest_is_valid(digest))
        return NULL;
    snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(digest));
    return load_archive_find(archive, name);
}

int load_archive_document(const struct load_archive *archive, const char *name,
                          struct buffer *buffer, struct error *err)
{
    const struct load_item *item = load_archive_find(archive, name);
    if (!item)
        return error_set_class(err, ERROR_INVALID, "archive has no file '%s'", name);
    int r = blob_read(archive->store, item->digest, buffer, err);
    return r < 0 ? error_wrap(err, r, "%s", name) : 0;
}
