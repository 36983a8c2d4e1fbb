/* Readers that the documents of this folder share: copies of JSON members into structs.
 *
 * All return 0 when the member is absent (then *ret is untouched), 1 when it was read and a
 * negative errno value with a message that names the member. */
#ifndef HULL_SPEC_READER_H
#define HULL_SPEC_READER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct error;

int spec_read_text(const json_t *object, const char *name, char **ret, struct error *err);
int spec_read_u32(const json_t *object, const char *name, uint32_t *ret, struct error *err);
/* Negative numbers are the unsigned ones of the same bits (runtime.h). */
int spec_read_u64(const json_t *object, const char *name, uint64_t *ret, struct error *err);
/* An object of strings as "key=value"; an empty key or one with '=' is refused. */
int spec_read_map(const json_t *object, const char *name, char ***ret, struct error *err);

typedef int spec_item_reader(const json_t *item, void *ret, struct error *err);

/* An array of at most `max` objects. *ret_items is a zeroed array of as many structs, set (with
 * *ret_n) before the first is read, so that the owner's release function frees a half-read one. */
int spec_read_list(const json_t *object, const char *name, size_t max, size_t item_size,
                   spec_item_reader *reader, void *ret_items, size_t *ret_n, struct error *err);

/* Sets `name` to an object of strings; nothing for an empty vector. 0 or -ENOMEM. */
int spec_put_map(json_t *object, const char *name, char *const *map);
/* Sets `name` to an array unless it is empty; consumes it in any case. */
int spec_put_list(json_t *object, const char *name, json_t *array);
int spec_put_u64(json_t *object, const char *name, uint64_t value);

/* Grows an array of structs by one zeroed element and returns it; NULL when out of memory or when
 * there are `max` already. */
void *spec_list_add(void *items_pointer, size_t *n, size_t item_size, size_t max);

#endif
