/* Platforms as Go and OCI name them: "linux/arm64/v8". */
#ifndef HULL_IMAGE_PLATFORM_H
#define HULL_IMAGE_PLATFORM_H

#include <stdbool.h>

#include "image/image.h"

struct buffer;
struct error;

/* Copies `from`, with the host's values where it has none, into one block *ret_text. */
int platform_set(const struct image_platform *from, struct image_platform *ret, char **ret_text,
                 struct error *err);

/* Can an image for `have` run where `need` is? An absent architecture or variant fits; arm64 means
 * v8. */
bool platform_fits(const struct image_platform *have, const struct image_platform *need);
/* As platform_fits(), and how well: 0 not at all, greater is better. */
int platform_score(const struct image_platform *have, const struct image_platform *need);

/* "linux/arm64/v8" into text. */
enum { PLATFORM_TEXT_MAX = 128 };
const char *platform_format(const struct image_platform *platform, char text[PLATFORM_TEXT_MAX]);

#endif
