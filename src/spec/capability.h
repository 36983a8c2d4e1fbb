/* Names and masks of capabilities(7). */
#ifndef HULL_SPEC_CAPABILITY_H
#define HULL_SPEC_CAPABILITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

enum { CAPABILITY_MAX = 41 }; /* CAP_CHECKPOINT_RESTORE + 1 */

#define CAPABILITY_BIT(number) (UINT64_C(1) << (number))
#define CAPABILITY_ALL (CAPABILITY_BIT(CAPABILITY_MAX) - 1)

/* "CAP_SYS_ADMIN" for 21; NULL outside of the range. */
const char *capability_to_string(int number);
/* With or without "CAP_", any case. -EINVAL if unknown. */
int capability_from_string(const char *text);

/* docker's --cap-add and --cap-drop on top of `start`: names as above or "ALL". "ALL" in `add`
 * means all and `drop` takes away from it; "ALL" in `drop` leaves `add` only. An unknown name is
 * ERROR_INVALID in docker's words (`invalid CapAdd: unknown capability: "CAP_X"`). */
int capability_apply(uint64_t start, char *const *add, char *const *drop, uint64_t *ret,
                     struct error *err);

/* Array of names <-> mask. */
json_t *capability_mask_to_json(uint64_t mask);
int capability_mask_from_json(const json_t *array, const char *what, uint64_t *ret,
                              struct error *err);

#endif
