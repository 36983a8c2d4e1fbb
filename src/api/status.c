#include "api/status.h"

#include "base/error.h"

unsigned status_from_error(const struct error *err)
{
    static const unsigned statuses[ERROR_CLASS_MAX] = {
        [ERROR_SYSTEM] = 500,          [ERROR_INVALID] = 400,   [ERROR_UNAUTHORIZED] = 401,
        [ERROR_FORBIDDEN] = 403,       [ERROR_NOT_FOUND] = 404, [ERROR_CONFLICT] = 409,
        [ERROR_NOT_MODIFIED] = 304,    [ERROR_TOO_LARGE] = 413, [ERROR_UNAVAILABLE] = 503,
        [ERROR_NOT_IMPLEMENTED] = 501,
    };

    if ((unsigned)err->class >= ERROR_CLASS_MAX)
        return 500;
    return statuses[err->class];
}
