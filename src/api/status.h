/* The one place where a class of error becomes an HTTP status. */
#ifndef HULL_API_STATUS_H
#define HULL_API_STATUS_H

struct error;

/* 304, 400, 401, ... for the class of a filled error; 500 for what has none. */
unsigned status_from_error(const struct error *err);

#endif
