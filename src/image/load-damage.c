/* Which layer did a broken archive break? */
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/load-archive.h"
#include "image/manifest.h"
#include "spec/image_config.h"

enum { DAMAGE_DOCUMENTS_MAX = 64 }; /* looked at: the archive is hostile, and the load has failed */

DEFINE_CLEANUP(struct image_config *, config_cleanup, image_config_free)

static bool is_whole(const struct load_archive *archive, const char *layer, const char *damaged)
{
    const struct load_item *item = load_archive_find(archive, layer);
    return item && item->digest[0] && !string_equal(item->name, damaged);
}

/* The first layer of one image of manifest.json that is `damaged`, or is not there. */
static bool find_in_image(const struct load_archive *archive, const json_t *image,
                          const char *damaged, char ret[DIGEST_TEXT_SIZE])
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    CLEANUP(config_cleanup) struct image_config *config = NULL;
    CLEANUP_STRV char **layers = NULL;
    const char *name = NULL;
    if (json_need_string(image, "Config", &name, NULL) < 0 ||
        json_get_strv(image, "Layers", IMAGE_LAYERS_MAX, &layers, NULL) < 0 ||
        load_archive_document(archive, name, &text, NULL) < 0 ||
        image_config_parse(buffer_string(&text), text.length, &config, NULL) < 0 ||
        strv_length(layers) != strv_length(config->diff_ids))
        return false;
    for (size_t i = 0; layers && layers[i]; i++) {
        if (is_whole(archive, layers[i], damaged))
            continue;
        string_copy(ret, DIGEST_TEXT_SIZE, config->diff_ids[i]);
        return true;
    }
    return false;
}

static bool has_blob(const struct load_archive *archive, const char *digest)
{
    for (size_t i = 0; i < archive->n; i++)
        if (string_equal(archive->items[i].digest, digest))
            return true;
    return false;
}

/* manifest.json often comes last. Then a configuration that came may still tell: if only one of the
 * layers it speaks of is not there, it is that one. */
static bool find_by_config(const struct load_archive *archive, const struct load_item *item,
                           unsigned *looked, char ret[DIGEST_TEXT_SIZE])
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    CLEANUP(config_cleanup) struct image_config *config = NULL;
    const char *missing = NULL;
    size_t n = 0;
    if (!string_ends_with(item->name, ".json") || !item->digest[0] ||
        (*looked)++ >= DAMAGE_DOCUMENTS_MAX ||
        load_archive_document(archive, item->name, &text, NULL) < 0 ||
        image_config_parse(buffer_string(&text), text.length, &config, NULL) < 0)
        return false;
    for (size_t i = 0; config->diff_ids && config->diff_ids[i]; i++) {
        if (has_blob(archive, config->diff_ids[i]))
            continue;
        missing = config->diff_ids[i];
        n++;
    }
    if (n == 1)
        string_copy(ret, DIGEST_TEXT_SIZE, missing);
    return n == 1;
}

bool load_damaged_layer(const struct load_archive *archive, const char *name,
                        char ret[DIGEST_TEXT_SIZE])
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP_JSON json_t *document = NULL;
    unsigned looked = 0;
    if (load_archive_document(archive, "manifest.json", &text, NULL) == 0 &&
        json_parse(buffer_string(&text), text.length, &document, NULL) == 0) {
        size_t i;
        const json_t *image;
        json_array_foreach (document, i, image)
            if (i < DAMAGE_DOCUMENTS_MAX && find_in_image(archive, image, name, ret))
                return true;
        return false;
    }
    for (size_t i = 0; i < archive->n; i++)
        if (find_by_config(archive, &archive->items[i], &looked, ret))
            return true;
    return false;
}
