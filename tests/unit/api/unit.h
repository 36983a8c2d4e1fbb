/* cmocka and what it needs before it. */
#ifndef HULL_TESTS_UNIT_API_UNIT_H
#define HULL_TESTS_UNIT_API_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
