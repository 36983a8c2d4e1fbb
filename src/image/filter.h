/* Which images a filter lets through; shared by lists and prune. */
#ifndef HULL_IMAGE_FILTER_H
#define HULL_IMAGE_FILTER_H

#include "image/image.h"

/* The times of the images that `before` and `since` name. */
struct filter_times {
    bool before;
    bool since;
    int64_t before_time;
    int64_t since_time;
};

int filter_times(struct image_store *store, const struct image_filter *filter,
                 struct filter_times *ret, struct error *err);

/* 1 when the image passes (names that do not match are taken off it), 0 when not, -ENOMEM. */
int filter_image(struct image *image, const struct image_filter *filter,
                 const struct filter_times *times, struct error *err);

#endif
