#include "fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"

static la_ssize_t append(struct archive *archive, void *data, const void *bytes, size_t length)
{
    (void)archive;
    return buffer_append(data, bytes, length) == 0 ? (la_ssize_t)length : -1;
}

static void write_entry(struct archive *archive, const struct entry *entry)
{
    struct archive_entry *header = archive_entry_new();
    size_t size = entry->type == 'f' && entry->data
                      ? entry->size ? (size_t)entry->size : strlen(entry->data)
                      : 0;
    archive_entry_set_pathname(header, entry->name);
    archive_entry_set_perm(header, entry->mode ? (mode_t)entry->mode : 0755);
    archive_entry_set_uid(header, entry->uid);
    archive_entry_set_mtime(header, 1700000000, 123456789);
    archive_entry_set_filetype(header, entry->type == 'd'   ? AE_IFDIR
                                       : entry->type == 's' ? AE_IFLNK
                                       : entry->type == 'c' ? AE_IFCHR
                                       : entry->type == 'p' ? AE_IFIFO
                                                            : AE_IFREG);
    if (entry->type == 's')
        archive_entry_set_symlink(header, entry->data);
    if (entry->type == 'h')
        archive_entry_set_hardlink(header, entry->data);
    if (entry->type == 'c') {
        archive_entry_set_rdevmajor(header, 1);
        archive_entry_set_rdevminor(header, 3);
    }
    if (entry->xattr)
        archive_entry_xattr_add_entry(header, entry->xattr, "v", 1);
    archive_entry_set_size(header, (la_int64_t)size);
    assert_true(archive_write_header(archive, header) >= ARCHIVE_WARN);
    if (size > 0)
        assert_int_equal(archive_write_data(archive, entry->data, size), size);
    archive_entry_free(header);
}

void make_tar(struct buffer *tar, const struct entry *entries, size_t n, char compression)
{
    struct archive *archive = archive_write_new();
    archive_write_set_format_pax(archive);
    if (compression == 'g')
        archive_write_add_filter_gzip(archive);
    if (compression == 'z')
        archive_write_add_filter_zstd(archive);
    if (compression == 'x')
        archive_write_add_filter_xz(archive);
    if (compression == 'b')
        archive_write_add_filter_bzip2(archive);
    archive_write_set_bytes_in_last_block(archive, 1);
    assert_int_equal(archive_write_open(archive, tar, NULL, append, NULL), ARCHIVE_OK);
    for (size_t i = 0; i < n; i++)
        write_entry(archive, &entries[i]);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

int scratch_setup(void **state)
{
    char *path = strdup("/tmp/hull-test-image-XXXXXX");
    *state = mkdtemp(path);
    return *state ? 0 : -1;
}

int scratch_teardown(void **state)
{
    int r = path_remove_tree(AT_FDCWD, *state, NULL);
    free(*state);
    return r;
}

struct image_store *open_store(void **state)
{
    struct error err = ERROR_INIT;
    struct image_store *store = NULL;
    const struct image_store_config config = {
        .root = *state,
        .platform = {.os = "linux", .architecture = "amd64"},
    };
    if (image_store_open(&config, &store, &err) < 0)
        fail_msg("%s", err.message);
    return store;
}

int content_fd(const void *data, size_t length)
{
    int fd = memfd_create("content", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_full(fd, data, length), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

void make_docker_archive(struct buffer *archive, const struct buffer *layer, const char *diff_id,
                         const char *tag)
{
    CLEANUP_FREE char *config = string_format(
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:00Z\","
        "\"config\":{\"Cmd\":[\"sh\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
        diff_id);
    CLEANUP_FREE char *manifest = string_format(
        "[{\"Config\":\"c.json\",\"RepoTags\":[%s%s%s],\"Layers\":[\"l/layer.tar\"]}]",
        tag ? "\"" : "", tag ? tag : "", tag ? "\"" : "");
    const struct entry entries[] = {
        {"l/layer.tar", 'f', layer->data, .size = (int64_t)layer->length},
        {"c.json", 'f', config},
        {"manifest.json", 'f', manifest},
    };
    make_tar(archive, entries, 3, 'g');
}

char *import_image(struct image_store *store, const char *name, const struct entry *entries,
                   size_t n)
{
    CLEANUP(buffer_release) struct buffer tar = BUFFER_INIT(FIXTURE_TAR_MAX);
    struct error err = ERROR_INIT;
    char *id = NULL;
    make_tar(&tar, entries, n, 0);
    CLEANUP_CLOSE int fd = content_fd(tar.data, tar.length);
    const struct image_import_options options = {.reference = name};
    if (image_import(store, fd, &options, NULL, &id, &err) < 0)
        fail_msg("%s", err.message);
    return id;
}

void need_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("skipped: unpacking layers needs root\n");
    skip();
}
