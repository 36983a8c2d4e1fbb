#include "engine/template_file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/digest.h"
#include "vm/template.h"

enum { VERSION = 1, PAGE = 4096, CHUNK = 256 * PAGE, DESCRIPTION_MAX = 4096 };

static int open_in(const char *directory, const char *name, int flags, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/%s", directory, name);
    int fd = path ? open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    return fd < 0 ? error_set_errno(err, path ? -errno : -ENOMEM, "opening a template's %s", name)
                  : fd;
}

/* --- memory: pages of zeros are holes --- */

static bool is_zero(const uint8_t *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* Pages go into the digest with their place, so that it does not depend on where a file has holes.
 */
static int take_page(struct digest *digest, uint64_t place, const uint8_t *page)
{
    uint64_t where = htobe64(place);
    int r = digest_update(digest, &where, sizeof(where));
    return r < 0 ? r : digest_update(digest, page, PAGE);
}

/* Writes the pages of one chunk that are not zero, neighbours in one go. */
static int copy_chunk(const uint8_t *chunk, size_t length, off_t at, int to, struct digest *digest)
{
    size_t start = 0;
    size_t run = 0;
    int r = 0;
    for (size_t i = 0; i <= length && r == 0; i += PAGE) {
        bool data = i < length && !is_zero(chunk + i);
        if (data)
            r = take_page(digest, (uint64_t)at + i, chunk + i);
        if (data && run == 0)
            start = i;
        if (data) {
            run += PAGE;
        } else if (run > 0) {
            ssize_t n = pwrite(to, chunk + start, run, at + (off_t)start);
            r = n == (ssize_t)run ? 0 : n < 0 ? -errno : -EIO;
            run = 0;
        }
    }
    return r;
}

static int copy_range(int from, off_t at, off_t end, int to, struct digest *digest, uint8_t *chunk)
{
    int r = 0;
    while (at < end && r == 0) {
        size_t length = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        ssize_t n = pread(from, chunk, length, at);
        if (n <= 0 || n % PAGE != 0)
            return n < 0 ? -errno : -EIO;
        r = copy_chunk(chunk, (size_t)n, at, to, digest);
        at += n;
    }
    return r;
}

/* Both files are `size` bytes long, whole pages. */
static int copy_memory(int from, off_t size, int to, char text[DIGEST_TEXT_SIZE], struct error *err)
{
    CLEANUP(digest_cleanup) struct digest *digest = NULL;
    CLEANUP_FREE uint8_t *chunk = malloc(CHUNK);
    off_t at = 0;
    int r = digest_new(&digest, err);
    if (r < 0)
        return r;
    if (!chunk)
        return error_oom(err);
    while (r == 0 && at < size) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return error_set_errno(err, -errno, "reading a template's memory");
        data -= data % PAGE;
        at = hole + (PAGE - hole % PAGE) % PAGE;
        r = copy_range(from, data, at < size ? at : size, to, digest, chunk);
    }
    if (r == 0)
        r = digest_finish(digest, text);
    return r < 0 ? error_set_errno(err, r, "copying a template's memory") : 0;
}

/* --- the rest --- */

static int digest_state(const char *directory, char text[DIGEST_TEXT_SIZE], struct error *err)
{
    CLEANUP(digest_cleanup) struct digest *digest = NULL;
    CLEANUP_CLOSE int fd = open_in(directory, TEMPLATE_FILE_STATE, O_RDONLY, err);
    uint8_t chunk[PAGE];
    ssize_t n;
    int r = fd < 0 ? fd : digest_new(&digest, err);
    if (r < 0)
        return r;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 && r == 0)
        r = digest_update(digest, chunk, (size_t)n);
    if (r == 0)
        r = n < 0 ? -errno : digest_finish(digest, text);
    return r < 0 ? error_set_errno(err, r, "reading a template's state") : 0;
}

int template_file_save(const char *directory, int memory, struct error *err)
{
    char of_memory[DIGEST_TEXT_SIZE];
    char of_state[DIGEST_TEXT_SIZE];
    CLEANUP_JSON json_t *description = NULL;
    struct stat st;
    CLEANUP_CLOSE int file = open_in(directory, "memory", O_RDWR | O_CREAT | O_EXCL, err);
    CLEANUP_FREE char *path = string_format("%s/template.json", directory);
    if (file < 0)
        return file;
    if (fstat(memory, &st) < 0 || ftruncate(file, st.st_size) < 0)
        return error_set_errno(err, -errno, "writing a template's memory");
    int r = copy_memory(memory, st.st_size, file, of_memory, err);
    if (r == 0)
        r = digest_state(directory, of_state, err);
    if (r < 0)
        return r;
    description =
        json_pack("{s:i,s:s,s:s}", "version", VERSION, "memory", of_memory, "state", of_state);
    CLEANUP_FREE char *text = description ? json_format(description) : NULL;
    if (!text || !path)
        return error_oom(err);
    return file_replace(AT_FDCWD, path, text, strlen(text), 0600, err);
}

static int read_description(const char *directory, json_t **ret, struct error *err)
{
    CLEANUP_FREE char *path = string_format("%s/template.json", directory);
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(DESCRIPTION_MAX);
    int r = path ? file_read(AT_FDCWD, path, &text, err) : error_oom(err);
    return r < 0 ? r : json_parse(buffer_string(&text), text.length, ret, err);
}

static int damaged(struct error *err, const char *what)
{
    error_clear(err);
    return error_set(err, -EBADMSG, "the template's %s is damaged", what);
}

int template_file_load(const char *directory, int memory, struct error *err)
{
    char of_memory[DIGEST_TEXT_SIZE];
    char of_state[DIGEST_TEXT_SIZE];
    CLEANUP_JSON json_t *description = NULL;
    struct stat wanted;
    struct stat st;
    int version = 0;
    int r = read_description(directory, &description, err);
    if (r == -ENOENT)
        return r;
    if (r < 0 || json_get_int(description, "version", VERSION, VERSION, &version, NULL) != 1)
        return damaged(err, "description");
    CLEANUP_CLOSE int file = open_in(directory, "memory", O_RDONLY, err);
    if (file < 0 || fstat(file, &st) < 0 || fstat(memory, &wanted) < 0 ||
        st.st_size != wanted.st_size || copy_memory(file, st.st_size, memory, of_memory, err) < 0 ||
        !string_equal(json_string_value(json_object_get(description, "memory")), of_memory))
        return damaged(err, "memory");
    if (digest_state(directory, of_state, err) < 0 ||
        !string_equal(json_string_value(json_object_get(description, "state")), of_state))
        return damaged(err, "state");
    return vm_template_seal(memory, err);
}
