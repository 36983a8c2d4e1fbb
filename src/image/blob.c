#include "image/blob.h"

#include <sys/stat.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/random.h"
#include "image/store.h"
#include "spec/reference.h"

int blob_create(struct image_store *store, struct blob_writer *ret, struct error *err)
{
    CLEANUP(blob_writer_release) struct blob_writer writer = BLOB_WRITER_INIT;
    writer.store = store;
    int r = digest_new(&writer.digest, err);
    if (r < 0)
        return r;
    snprintf(writer.name, sizeof(writer.name), "blob-%08x%08x", random_u32(), random_u32());
    writer.fd = openat(store->temp_fd, writer.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (writer.fd < 0) {
        r = -errno;
        writer.name[0] = '\0';
        return store_write_error(err, r, "cannot create blob");
    }
    *ret = writer;
    writer = (struct blob_writer)BLOB_WRITER_INIT;
    return 0;
}

int blob_write(struct blob_writer *writer, const void *data, size_t length, struct error *err)
{
    int r = fd_write_full(writer->fd, data, length);
    if (r < 0)
        return store_write_error(err, r, "cannot write blob");
    if (digest_update(writer->digest, data, length) < 0)
        return error_set(err, -EIO, "cannot compute sha256");
    writer->size += (int64_t)length;
    return 0;
}

int blob_restart(struct blob_writer *writer, struct error *err)
{
    if (ftruncate(writer->fd, 0) < 0 || lseek(writer->fd, 0, SEEK_SET) < 0)
        return store_write_error(err, -errno, "cannot write blob");
    if (digest_reset(writer->digest) < 0)
        return error_set(err, -EIO, "cannot compute sha256");
    writer->size = 0;
    return 0;
}

int blob_commit(struct blob_writer *writer, const char *expected, struct store_lease *lease,
                char ret[DIGEST_TEXT_SIZE], struct error *err)
{
    char actual[DIGEST_TEXT_SIZE];
    int r = 0;
    if (digest_finish(writer->digest, actual) < 0)
        r = error_set(err, -EIO, "cannot compute sha256");
    else if (expected && strcmp(actual, expected) != 0)
        r = error_set_class(err, ERROR_INVALID, "blob %s is damaged: its content has digest %s",
                            expected, actual);
    else if (lease && store_lease_blob(writer->store, lease, actual) < 0)
        r = error_oom(err);
    else if (fchmod(writer->fd, 0444) < 0 || fsync(writer->fd) < 0 ||
             renameat(writer->store->temp_fd, writer->name, writer->store->blobs_fd,
                      digest_hex(actual)) < 0)
        r = store_write_error(err, -errno, "cannot write blob");
    else
        writer->name[0] = '\0';
    blob_writer_release(writer);
    if (r == 0)
        memcpy(ret, actual, DIGEST_TEXT_SIZE);
    return r;
}

void blob_writer_release(struct blob_writer *writer)
{
    if (writer->store && writer->name[0])
        unlinkat(writer->store->temp_fd, writer->name, 0);
    writer->name[0] = '\0';
    writer->fd = fd_close(writer->fd);
    writer->digest = digest_free(writer->digest);
}

int blob_put(struct image_store *store, struct store_lease *lease, const void *data, size_t length,
             char ret[DIGEST_TEXT_SIZE], struct error *err)
{
    CLEANUP(blob_writer_release) struct blob_writer writer = BLOB_WRITER_INIT;
    int r = blob_create(store, &writer, err);
    if (r < 0 || (r = blob_write(&writer, data, length, err)) < 0)
        return r;
    return blob_commit(&writer, NULL, lease, ret, err);
}

int blob_open(struct image_store *store, const char *digest, int64_t *ret_size, struct error *err)
{
    struct stat st;
    if (!digest_is_valid(digest))
        return error_set_class(err, ERROR_INVALID, "invalid digest '%s'", digest);
    CLEANUP_CLOSE int fd = openat(store->blobs_fd, digest_hex(digest), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set_class(err, ERROR_NOT_FOUND, "blob %s is not in the store", digest);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_set_errno(err, -errno, "cannot open blob %s", digest);
    if (ret_size)
        *ret_size = st.st_size;
    return TAKE_FD(fd);
}

int blob_read(struct image_store *store, const char *digest, struct buffer *buffer,
              struct error *err)
{
    char actual[DIGEST_TEXT_SIZE];
    int64_t size = 0;
    CLEANUP_CLOSE int fd = blob_open(store, digest, &size, err);
    if (fd < 0)
        return fd;
    void *room = size <= (int64_t)buffer->max ? buffer_reserve(buffer, (size_t)size) : NULL;
    if (!room)
        return error_set_class(err, ERROR_INVALID, "blob %s is too large for a document", digest);
    ssize_t n = fd_read_full(fd, room, (size_t)size);
    if (n < 0)
        return error_set_errno(err, (int)n, "cannot read blob %s", digest);
    if (n != size || digest_of(room, (size_t)size, actual) < 0 || strcmp(actual, digest) != 0)
        return error_set(err, -EIO, "blob %s in the store is damaged", digest);
    buffer_commit(buffer, (size_t)n);
    return 0;
}

bool blob_exists(struct image_store *store, const char *digest, int64_t *ret_size)
{
    struct stat st;
    if (!digest_is_valid(digest) || fstatat(store->blobs_fd, digest_hex(digest), &st, 0) < 0)
        return false;
    if (ret_size)
        *ret_size = st.st_size;
    return true;
}
