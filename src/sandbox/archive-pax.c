#include "sandbox/archive-pax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "sandbox/archive-header.h"

#define XATTR_KEYWORD "SCHILY.xattr."
#define CODED_XATTR_KEYWORD "LIBARCHIVE.xattr."

enum { NANOSECONDS = 1000000000, FRACTION_DIGITS = 9 };

/* --- making --- */

enum { NUMBER_SIZE = 24 };

/* Decimal digits into the end of `text`; returns where they begin. By hand: there are several in
 * every member. */
static const char *format_number(char text[NUMBER_SIZE], uint64_t number)
{
    char *at = text + NUMBER_SIZE - 1;

    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    return at;
}

static size_t count_digits(size_t number)
{
    size_t n = 1;

    for (; number >= 10; number /= 10)
        n++;
    return n;
}

static int add_bytes(struct buffer *buffer, const char *prefix, const char *keyword,
                     const void *value, size_t length)
{
    char digits[NUMBER_SIZE];
    size_t prefix_length = strlen(prefix);
    size_t keyword_length = strlen(keyword);
    size_t rest = prefix_length + keyword_length + length + 3; /* blank, '=', newline */
    size_t total = rest + count_digits(rest);                  /* the length counts itself */
    const char *number;
    char *at;

    total = rest + count_digits(total);
    at = buffer_reserve(buffer, total);
    if (!at)
        return buffer->max - buffer->length < total ? -EOVERFLOW : -ENOMEM;
    number = format_number(digits, total);
    at = mempcpy(at, number, strlen(number));
    *at++ = ' ';
    at = mempcpy(at, prefix, prefix_length);
    at = mempcpy(at, keyword, keyword_length);
    *at++ = '=';
    if (length > 0)
        at = mempcpy(at, value, length);
    *at = '\n';
    buffer_commit(buffer, total);
    return 0;
}

static int add_text(struct buffer *buffer, const char *keyword, const char *value)
{
    return add_bytes(buffer, "", keyword, value, strlen(value));
}

static int add_number(struct buffer *buffer, const char *keyword, uint64_t value)
{
    char digits[NUMBER_SIZE];

    return add_text(buffer, keyword, format_number(digits, value));
}

/* Seconds with a fraction; of a time before 1970 both count away from it. */
static int add_time(struct buffer *buffer, const char *keyword, struct timespec time)
{
    char digits[NUMBER_SIZE];
    char text[2 * NUMBER_SIZE] = "-";
    bool negative = time.tv_sec < 0;
    int64_t seconds = time.tv_sec;
    long nanoseconds = time.tv_nsec;
    const char *number;
    char *end = text + negative;

    if (negative && nanoseconds > 0) {
        seconds++;
        nanoseconds = NANOSECONDS - nanoseconds;
    }
    number = format_number(digits, negative ? -(uint64_t)seconds : (uint64_t)seconds);
    end = mempcpy(end, number, strlen(number));
    if (nanoseconds > 0) {
        *end = '.';
        for (int i = FRACTION_DIGITS; i > 0; i--, nanoseconds /= 10)
            end[i] = (char)('0' + nanoseconds % 10);
        end += FRACTION_DIGITS + 1;
    }
    return add_bytes(buffer, "", keyword, text, (size_t)(end - text));
}

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if (*text & 0x80)
            return false;
    return true;
}

static bool is_utf8(const char *text)
{
    const unsigned char *c = (const void *)text;

    while (*c) {
        unsigned low = 0x80, high = 0xbf;
        int more;

        if (*c < 0x80) {
            c++;
            continue;
        }
        if (*c < 0xc2 || *c > 0xf4)
            return false;
        more = *c < 0xe0 ? 1 : *c < 0xf0 ? 2 : 3;
        /* No overlong forms, no surrogates, nothing above U+10FFFF. */
        if (*c == 0xe0)
            low = 0xa0;
        else if (*c == 0xed)
            high = 0x9f;
        else if (*c == 0xf0)
            low = 0x90;
        else if (*c == 0xf4)
            high = 0x8f;
        for (c++; more > 0; more--, c++, low = 0x80, high = 0xbf)
            if (*c < low || *c > high)
                return false;
    }
    return true;
}

static bool fits_header(const char *name, bool directory)
{
    return strlen(name) + directory <= HEADER_NAME_MAX && is_ascii(name);
}

static int add_names(struct buffer *buffer, const struct tar_entry *entry)
{
    bool directory = entry->type == TAR_DIRECTORY;
    bool long_path = !fits_header(entry->path, directory) || entry->sparse;
    bool long_target = entry->target && !fits_header(entry->target, false);
    int r = 0;

    /* pax(1): without it names are UTF-8. It holds for the records that come after it. */
    if (!is_utf8(entry->path) || (entry->target && !is_utf8(entry->target)))
        r = add_text(buffer, "hdrcharset", "BINARY");
    if (r == 0 && long_path && entry->sparse)
        r = add_text(buffer, "GNU.sparse.name", entry->path);
    else if (r == 0 && long_path)
        r = add_bytes(buffer, "", "path", entry->path, strlen(entry->path));
    if (r == 0 && long_target)
        r = add_text(buffer, "linkpath", entry->target);
    return r;
}

/* A keyword has no '='; for such an attribute there is libarchive's form: name with %XX, value in
 * base64. */
static int add_coded_xattr(struct buffer *buffer, const struct tar_xattr *xattr)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    CLEANUP(buffer_release) struct buffer name = BUFFER_INIT(4 * TAR_XATTR_NAME_MAX);
    CLEANUP(buffer_release) struct buffer value = BUFFER_INIT(2 * TAR_XATTR_SIZE_MAX);
    const unsigned char *bytes = xattr->value;
    int r = 0;

    for (const char *c = xattr->name; r == 0 && *c; c++)
        r = *c > ' ' && *c < 0x7f && *c != '%' && *c != '='
                ? buffer_append_char(&name, *c)
                : buffer_printf(&name, "%%%02X", (unsigned char)*c);
    for (size_t i = 0; r == 0 && i < xattr->size; i += 3) {
        size_t n = xattr->size - i < 3 ? xattr->size - i : 3;
        unsigned group = (unsigned)bytes[i] << 16;

        group |= n > 1 ? (unsigned)bytes[i + 1] << 8 : 0;
        group |= n > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; r == 0 && k <= n; k++)
            r = buffer_append_char(&value, digits[group >> (18 - 6 * k) & 63]);
    }
    if (r < 0)
        return r;
    return add_bytes(buffer, CODED_XATTR_KEYWORD, buffer_string(&name), value.data, value.length);
}

static int add_xattrs(struct buffer *buffer, const struct tar_entry *entry)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < entry->n_xattrs; i++) {
        const struct tar_xattr *xattr = &entry->xattrs[i];

        if (strchr(xattr->name, '='))
            r = add_coded_xattr(buffer, xattr);
        else
            r = add_bytes(buffer, XATTR_KEYWORD, xattr->name, xattr->value, xattr->size);
    }
    return r;
}

static int add_sparse(struct buffer *buffer, const struct tar_entry *entry)
{
    int r = add_number(buffer, "GNU.sparse.major", 1);

    if (r == 0)
        r = add_number(buffer, "GNU.sparse.minor", 0);
    return r < 0 ? r : add_number(buffer, "GNU.sparse.realsize", (uint64_t)entry->size);
}

int pax_make(struct buffer *buffer, const struct tar_entry *entry, int64_t stored)
{
    int r = add_names(buffer, entry);

    if (r == 0 && stored > HEADER_SIZE_MAX)
        r = add_number(buffer, "size", (uint64_t)stored);
    if (r == 0 && entry->uid > HEADER_ID_MAX)
        r = add_number(buffer, "uid", entry->uid);
    if (r == 0 && entry->gid > HEADER_ID_MAX)
        r = add_number(buffer, "gid", entry->gid);
    if (r == 0 &&
        (entry->mtime.tv_nsec || entry->mtime.tv_sec < 0 || entry->mtime.tv_sec > HEADER_SIZE_MAX))
        r = add_time(buffer, "mtime", entry->mtime);
    if (r == 0 && entry->has_atime)
        r = add_time(buffer, "atime", entry->atime);
    if (r == 0 && entry->major > HEADER_ID_MAX)
        r = add_number(buffer, "SCHILY.devmajor", entry->major);
    if (r == 0 && entry->minor > HEADER_ID_MAX)
        r = add_number(buffer, "SCHILY.devminor", entry->minor);
    if (r == 0 && entry->type == TAR_SOCKET)
        r = add_text(buffer, "HULL.type", "socket");
    if (r == 0 && entry->sparse)
        r = add_sparse(buffer, entry);
    return r < 0 ? r : add_xattrs(buffer, entry);
}

/* --- parsing --- */

/* `value` has `length` bytes and, in all that is parsed here, a byte after them. */
struct record {
    const char *keyword;
    const char *value;
    size_t length;
};

static int set_text(struct pax *pax, enum pax_field field, const struct record *record,
                    struct error *err)
{
    char **text = field == PAX_TARGET ? &pax->entry.target : &pax->entry.path;

    /* POSIX: an empty value takes back what an earlier header said. */
    if (record->length == 0)
        return 0;
    if (record->length > TAR_NAME_MAX || memchr(record->value, '\0', record->length))
        return error_set_class(err, ERROR_INVALID, "invalid %s", record->keyword);
    if (field == PAX_PATH && (pax->set & PAX_SPARSE_NAME))
        return 0;
    free(*text);
    *text = strndup(record->value, record->length);
    if (!*text)
        return error_oom(err);
    pax->set |= field;
    return 0;
}

static int parse_number(const char *text, size_t length, int64_t max, int64_t *ret)
{
    char copy[24];
    int64_t value;

    if (length == 0 || length >= sizeof(copy) || text[0] < '0' || text[0] > '9')
        return -EINVAL;
    *(char *)mempcpy(copy, text, length) = '\0';
    if (string_to_i64(copy, &value) < 0 || value < 0 || value > max)
        return -EINVAL;
    *ret = value;
    return 0;
}

static int need_number(const struct record *record, int64_t max, int64_t *ret, struct error *err)
{
    if (parse_number(record->value, record->length, max, ret) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid %s", record->keyword);
    return 0;
}

static int set_number(struct pax *pax, enum pax_field field, const struct record *record,
                      struct error *err)
{
    bool is_size = field == PAX_SIZE || field == PAX_REAL_SIZE;
    bool is_id = field == PAX_UID || field == PAX_GID;
    int64_t max = is_size ? INT64_MAX - TAR_UNIT : is_id ? UINT32_MAX - 1 : UINT32_MAX;
    int64_t value;
    int r;

    if (record->length == 0)
        return 0;
    r = need_number(record, max, &value, err);
    if (r < 0)
        return r;
    if (field == PAX_SIZE)
        pax->entry.size = value;
    else if (field == PAX_REAL_SIZE)
        pax->real_size = value;
    else if (field == PAX_UID)
        pax->entry.uid = (uid_t)value;
    else if (field == PAX_GID)
        pax->entry.gid = (gid_t)value;
    else if (field == PAX_MAJOR)
        pax->entry.major = (unsigned)value;
    else
        pax->entry.minor = (unsigned)value;
    pax->set |= field;
    return 0;
}

/* "-12.5": what is finer than nanoseconds is cut. */
static int parse_time(const char *text, size_t length, struct timespec *ret)
{
    bool negative = length > 0 && text[0] == '-';
    const char *dot = memchr(text, '.', length);
    const char *whole = text + negative;
    size_t whole_length = (dot ? (size_t)(dot - text) : length) - negative;
    const char *end = text + length;
    int64_t seconds;
    long nanoseconds = 0;
    int digits = 0;

    if (dot && dot < whole)
        return -EINVAL;
    if (parse_number(whole, whole_length, INT64_MAX - 1, &seconds) < 0)
        return -EINVAL;
    for (const char *c = dot ? dot + 1 : end; c < end; c++, digits++) {
        if (*c < '0' || *c > '9')
            return -EINVAL;
        if (digits < FRACTION_DIGITS)
            nanoseconds = nanoseconds * 10 + (*c - '0');
    }
    for (; digits < FRACTION_DIGITS; digits++)
        nanoseconds *= 10;
    if (negative) {
        seconds = -seconds;
        if (nanoseconds > 0) {
            seconds--;
            nanoseconds = NANOSECONDS - nanoseconds;
        }
    }
    *ret = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
    return 0;
}

static int set_time(struct pax *pax, enum pax_field field, const struct record *record,
                    struct error *err)
{
    struct timespec *time = field == PAX_MTIME ? &pax->entry.mtime : &pax->entry.atime;

    if (record->length == 0)
        return 0;
    if (parse_time(record->value, record->length, time) < 0)
        return error_set_class(err, ERROR_INVALID, "invalid %s", record->keyword);
    pax->set |= field;
    pax->entry.has_atime |= field == PAX_ATIME;
    return 0;
}

static int add_xattr(struct pax *pax, const char *name, const void *value, size_t size,
                     struct error *err)
{
    int r;

    if (!*name)
        return error_set_class(err, ERROR_INVALID, "an attribute has no name");
    r = tar_entry_add_xattr(&pax->entry, name, value, size);
    if (r == -E2BIG)
        return error_set_class(err, ERROR_INVALID, "attribute %.64s is too large", name);
    return r < 0 ? error_oom(err) : 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: %XX. */
static void decode_name(char *name)
{
    char *out = name;

    for (const char *c = name; *c; c++) {
        if (c[0] == '%' && hex_digit(c[1]) >= 0 && hex_digit(c[2]) >= 0) {
            *out++ = (char)(hex_digit(c[1]) << 4 | hex_digit(c[2]));
            c += 2;
        } else {
            *out++ = *c;
        }
    }
    *out = '\0';
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int add_coded(struct pax *pax, const char *coded, const struct record *record,
                     struct error *err)
{
    CLEANUP_FREE char *name = strdup(coded);
    CLEANUP_FREE unsigned char *value = malloc(record->length + 1);
    size_t size = 0;
    unsigned group = 0;
    int bits = 0;

    if (!name || !value)
        return error_oom(err);
    for (size_t i = 0; i < record->length && record->value[i] != '='; i++) {
        int digit = base64_digit(record->value[i]);

        if (digit < 0)
            return error_set_class(err, ERROR_INVALID, "invalid attribute %.64s", coded);
        group = (group << 6 | (unsigned)digit) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            value[size++] = (unsigned char)(group >> bits);
        }
    }
    decode_name(name);
    return add_xattr(pax, name, value, size, err);
}

static int add_segment(struct pax *pax, int64_t offset, int64_t size, struct error *err)
{
    int r = tar_entry_add_segment(&pax->entry, offset, size);

    if (r == -ENOMEM)
        return error_oom(err);
    if (r < 0)
        return error_set_class(err, ERROR_INVALID, "invalid sparse map");
    pax->set |= PAX_SPARSE_MAP;
    return 0;
}

/* Format 0.1: "offset,size,offset,size". */
static int set_map(struct pax *pax, const struct record *record, struct error *err)
{
    const char *at = record->value;
    const char *end = at + record->length;
    int64_t numbers[2];
    int n = 0;

    pax->set |= PAX_SPARSE_MAP;
    pax->entry.n_segments = 0;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t length = (size_t)((comma ? comma : end) - at);

        if (parse_number(at, length, INT64_MAX, &numbers[n]) < 0)
            return error_set_class(err, ERROR_INVALID, "invalid sparse map");
        n = 1 - n;
        if (n == 0) {
            int r = add_segment(pax, numbers[0], numbers[1], err);

            if (r < 0)
                return r;
        }
        at = comma ? comma + 1 : end;
    }
    return n == 0 ? 0 : error_set_class(err, ERROR_INVALID, "invalid sparse map");
}

static int apply_sparse(struct pax *pax, const struct record *record, struct error *err)
{
    const char *what = record->keyword + strlen("GNU.sparse.");
    int64_t value;
    int r;

    if (string_equal(what, "name")) {
        pax->set &= ~(unsigned)PAX_SPARSE_NAME;
        r = set_text(pax, PAX_PATH, record, err);
        pax->set |= r == 0 && (pax->set & PAX_PATH) ? PAX_SPARSE_NAME : 0;
        return r;
    }
    if (string_equal(what, "map"))
        return set_map(pax, record, err);
    if (string_equal(what, "size") || string_equal(what, "realsize"))
        return set_number(pax, PAX_REAL_SIZE, record, err);
    if (string_equal(what, "numblocks"))
        return 0; /* the pairs are counted as they come */
    r = need_number(record, INT64_MAX, &value, err);
    if (r < 0)
        return r;
    if (string_equal(what, "major"))
        pax->sparse_major = value > 1 ? 2 : (int)value;
    else if (string_equal(what, "minor"))
        pax->sparse_minor = value > 1 ? 2 : (int)value;
    else if (string_equal(what, "offset"))
        pax->pending_offset = value;
    else if (string_equal(what, "numbytes") && pax->pending_offset >= 0) {
        r = add_segment(pax, pax->pending_offset, value, err);
        pax->pending_offset = -1;
    }
    return r;
}

static int apply(struct pax *pax, const struct record *record, struct error *err)
{
    static const struct {
        const char *keyword;
        int (*set)(struct pax *pax, enum pax_field field, const struct record *record,
                   struct error *err);
        enum pax_field field;
    } rows[] = {
        {"path", set_text, PAX_PATH},
        {"linkpath", set_text, PAX_TARGET},
        {"size", set_number, PAX_SIZE},
        {"uid", set_number, PAX_UID},
        {"gid", set_number, PAX_GID},
        {"mtime", set_time, PAX_MTIME},
        {"atime", set_time, PAX_ATIME},
        {"SCHILY.devmajor", set_number, PAX_MAJOR},
        {"SCHILY.devminor", set_number, PAX_MINOR},
    };
    const char *keyword = record->keyword;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (string_equal(keyword, rows[i].keyword))
            return rows[i].set(pax, rows[i].field, record, err);
    if (string_starts_with(keyword, XATTR_KEYWORD))
        return add_xattr(pax, keyword + strlen(XATTR_KEYWORD), record->value, record->length, err);
    if (string_starts_with(keyword, CODED_XATTR_KEYWORD))
        return add_coded(pax, keyword + strlen(CODED_XATTR_KEYWORD), record, err);
    if (string_starts_with(keyword, "GNU.sparse."))
        return apply_sparse(pax, record, err);
    if (string_equal(keyword, "HULL.type") && record->length == strlen("socket") &&
        memcmp(record->value, "socket", record->length) == 0)
        pax->set |= PAX_SOCKET;
    return 0;
}

void pax_clear(struct pax *pax)
{
    tar_entry_clear(&pax->entry);
    *pax = (struct pax){.sparse_major = -1, .pending_offset = -1};
}

int pax_parse(struct pax *pax, const char *text, size_t length, struct error *err)
{
    while (length > 0) {
        const char *blank = memchr(text, ' ', length < 24 ? length : 24);
        CLEANUP_FREE char *keyword = NULL;
        struct record record;
        const char *equals;
        int64_t size;
        int r;

        if (!blank || parse_number(text, (size_t)(blank - text), (int64_t)length, &size) < 0 ||
            size < blank - text + 3 || text[size - 1] != '\n')
            return error_set_class(err, ERROR_INVALID, "invalid extended header");
        equals = memchr(blank + 1, '=', (size_t)(text + size - blank - 1));
        if (!equals || equals == blank + 1 || memchr(blank + 1, '\0', (size_t)(equals - blank - 1)))
            return error_set_class(err, ERROR_INVALID, "invalid extended header");
        keyword = strndup(blank + 1, (size_t)(equals - blank - 1));
        if (!keyword)
            return error_oom(err);
        record = (struct record){
            .keyword = keyword,
            .value = equals + 1,
            .length = (size_t)(text + size - 1 - (equals + 1)),
        };
        r = apply(pax, &record, err);
        if (r < 0)
            return r;
        text += size;
        length -= (size_t)size;
    }
    return 0;
}
