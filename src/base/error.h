/* The error object: the one way in which a function says what went wrong.
 *
 * A function returns int: 0 or positive on success, a negative errno value on failure. Its last
 * parameter is a `struct error *`, which may be NULL. On success the object is left alone. On
 * failure it is filled exactly once, where the fact is known, with error_set(); callers on the way
 * up add where they were with error_wrap(). Messages are written for the person who typed the
 * command: they name the thing and, where there is one, the fix.
 *
 * The class says what kind of failure this is to a client; the HTTP status (api/) and the exit
 * status of the command line (cli/) are derived from it there and nowhere else. */
#ifndef HULL_BASE_ERROR_H
#define HULL_BASE_ERROR_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

enum { ERROR_MESSAGE_MAX = 2048 };

enum error_class {
    ERROR_SYSTEM = 0,      /* the host or hull failed: 500 */
    ERROR_INVALID,         /* the request makes no sense: 400 */
    ERROR_UNAUTHORIZED,    /* 401 */
    ERROR_FORBIDDEN,       /* 403 */
    ERROR_NOT_FOUND,       /* 404 */
    ERROR_CONFLICT,        /* the thing is in another state than the request needs: 409 */
    ERROR_NOT_MODIFIED,    /* already so; no message is sent: 304 */
    ERROR_TOO_LARGE,       /* 413 */
    ERROR_UNAVAILABLE,     /* cannot be had now (no engine, no registry): 503 */
    ERROR_NOT_IMPLEMENTED, /* 501 */
    ERROR_CLASS_MAX,
};

struct error {
    int code; /* negative errno value, 0 while nothing is set */
    enum error_class class;
    char message[ERROR_MESSAGE_MAX];
};

#define ERROR_INIT \
    {              \
        .code = 0  \
    }

/* Fills `err` (if not NULL) with `code`, a negative errno value, class ERROR_SYSTEM and the
 * formatted message; the text of strerror(-code) is NOT appended. Returns `code`, so that
 * `return error_set(err, -EINVAL, "...")` is the usual form. A code >= 0 is a mistake of the caller
 * and becomes -EIO, never success. Arguments may point into `err` itself. A message longer than
 * ERROR_MESSAGE_MAX is cut between two characters. */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), and appends ": " and the text of the errno value. */
int error_set_errno(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set(), with a class; the code is the class's usual one: SYSTEM -EIO, INVALID -EINVAL,
 * UNAUTHORIZED -EACCES, FORBIDDEN -EPERM, NOT_FOUND -ENOENT, CONFLICT -EBUSY, NOT_MODIFIED
 * -EALREADY, TOO_LARGE -E2BIG, UNAVAILABLE -ECONNREFUSED, NOT_IMPLEMENTED -EOPNOTSUPP. */
int error_set_class(struct error *err, enum error_class class, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message of a filled `err`. Returns err->code, or `code` when err is
 * NULL: `return error_wrap(err, r, "layer %s", digest)`. An `err` that nobody filled gets `code`
 * and its text. */
int error_wrap(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets only the class of a filled `err`; returns its code. */
int error_classify(struct error *err, int code, enum error_class class);

/* Out of memory, in one word: fills `err` and returns -ENOMEM. */
int error_oom(struct error *err);

/* Copies src over dst (either may be NULL); returns src's code. */
int error_copy(struct error *dst, const struct error *src);

void error_clear(struct error *err);

/* Names of classes for the wire ("not-found"); error_class_from_string() gives -EINVAL if unknown.
 */
const char *error_class_to_string(enum error_class class);
int error_class_from_string(const char *text);

#endif
