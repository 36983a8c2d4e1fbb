/* docker's progress stream: one JSON object a line (moby, pkg/jsonmessage and pkg/streamformatter).
 */
#ifndef HULL_API_JSONMESSAGE_H
#define HULL_API_JSONMESSAGE_H

#include <stddef.h>
#include <stdint.h>

struct buffer;
struct error;
struct image_progress_event;

enum { JSONMESSAGE_BAR_MAX = 128 };

/* Append one line. 0, -ENOMEM, -EOVERFLOW. */
int jsonmessage_progress(struct buffer *out, const struct image_progress_event *event);
/* {"errorDetail":{"message":"..."},"error":"..."} */
int jsonmessage_error(struct buffer *out, const struct error *err);

/* "[=====>      ]  1.5kB/3kB", the text that docker's older clients print. "" without numbers. */
void jsonmessage_bar(int64_t current, int64_t total, char text[JSONMESSAGE_BAR_MAX]);
/* go-units HumanSize: four digits, powers of 1000. */
void jsonmessage_size(int64_t bytes, char *text, size_t size);

#endif
