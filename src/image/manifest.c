#include "image/manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/image.h"
#include "image/platform.h"
#include "spec/reference.h"

bool media_type_is_index(const char *media_type)
{
    return string_equal(media_type, MEDIA_OCI_INDEX) || string_equal(media_type, MEDIA_DOCKER_LIST);
}

bool media_type_is_manifest(const char *media_type)
{
    return string_equal(media_type, MEDIA_OCI_MANIFEST) ||
           string_equal(media_type, MEDIA_DOCKER_MANIFEST);
}

static void descriptor_release(struct descriptor *descriptor)
{
    free(descriptor->media_type);
    free(descriptor->digest);
    free(descriptor->os);
    free(descriptor->architecture);
    free(descriptor->variant);
    free(descriptor->name);
    free(descriptor->ref_name);
}

struct manifest *manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return NULL;
    for (size_t i = 0; i < manifest->n; i++)
        descriptor_release(&manifest->entries[i]);
    descriptor_release(&manifest->config);
    free(manifest->entries);
    free(manifest->media_type);
    free(manifest);
    return NULL;
}

void manifest_cleanup(struct manifest **manifest)
{
    *manifest = manifest_free(*manifest);
}

static int get_text(const json_t *object, const char *name, char **ret, struct error *err)
{
    const char *text = NULL;
    int r = json_get_string(object, name, &text, err);
    if (r <= 0)
        return r;
    return string_replace(ret, text) < 0 ? error_oom(err) : 0;
}

static int parse_platform(const json_t *object, struct descriptor *ret, struct error *err)
{
    json_t *platform = NULL;
    int r = json_get_object(object, "platform", &platform, err);
    if (r <= 0)
        return r;
    if ((r = get_text(platform, "os", &ret->os, err)) < 0 ||
        (r = get_text(platform, "architecture", &ret->architecture, err)) < 0 ||
        (r = get_text(platform, "variant", &ret->variant, err)) < 0)
        return r;
    return 0;
}

static int parse_annotations(const json_t *object, struct descriptor *ret, struct error *err)
{
    json_t *annotations = NULL;
    const char *kind = NULL;
    int r = json_get_object(object, "annotations", &annotations, err);
    if (r <= 0)
        return r;
    if ((r = get_text(annotations, "io.containerd.image.name", &ret->name, err)) < 0 ||
        (r = get_text(annotations, "org.opencontainers.image.ref.name", &ret->ref_name, err)) < 0 ||
        (r = json_get_string(annotations, "vnd.docker.reference.type", &kind, err)) < 0)
        return r;
    ret->attestation = string_equal(kind, "attestation-manifest");
    return 0;
}

static int parse_descriptor(const json_t *object, struct descriptor *ret, struct error *err)
{
    const char *digest = NULL;
    int64_t size = 0;
    int r;
    if (!json_is_object(object))
        return error_set_class(err, ERROR_INVALID, "a descriptor must be an object");
    if ((r = json_need_string(object, "digest", &digest, err)) < 0 ||
        (r = json_need_i64(object, "size", &size, err)) < 0 ||
        (r = get_text(object, "mediaType", &ret->media_type, err)) < 0 ||
        (r = parse_platform(object, ret, err)) < 0 || (r = parse_annotations(object, ret, err)) < 0)
        return r;
    if (!digest_is_valid(digest))
        return error_set_class(err, ERROR_INVALID, "invalid digest '%s'", digest);
    if (size < 0)
        return error_set_class(err, ERROR_INVALID, "size of %s is negative", digest);
    ret->size = size;
    if (string_replace(&ret->digest, digest) < 0 ||
        (!ret->media_type && string_replace(&ret->media_type, "") < 0))
        return error_oom(err);
    ret->foreign =
        strstr(ret->media_type, "foreign") || strstr(ret->media_type, "nondistributable");
    return 0;
}

static int parse_entries(const json_t *document, const char *name, size_t max,
                         struct manifest *manifest, struct error *err)
{
    json_t *array = NULL;
    int r = json_get_array(document, name, &array, err);
    if (r <= 0)
        return r;
    size_t n = json_array_size(array);
    if (n > max)
        return error_set_class(err, ERROR_INVALID, "'%s' has more than %zu entries", name, max);
    if (n == 0)
        return 0;
    manifest->entries = calloc(n, sizeof(*manifest->entries));
    if (!manifest->entries)
        return error_oom(err);
    manifest->n = n;
    for (size_t i = 0; i < n; i++)
        if ((r = parse_descriptor(json_array_get(array, i), &manifest->entries[i], err)) < 0)
            return r;
    return 0;
}

static int parse_manifest(const json_t *document, const char *media_type, struct manifest *manifest,
                          struct error *err)
{
    const char *said = NULL;
    int version = 2;
    int r;
    if (!json_is_object(document))
        return error_set_class(err, ERROR_INVALID, "a manifest must be an object");
    if ((r = json_get_string(document, "mediaType", &said, err)) < 0 ||
        (r = json_get_int(document, "schemaVersion", 0, 1000, &version, err)) < 0)
        return r;
    if (version != 2)
        return error_set_class(err, ERROR_INVALID, "manifest schema version %d is not supported",
                               version);
    bool listed = json_object_get(document, "manifests") != NULL;
    if (!said && (media_type_is_index(media_type) || media_type_is_manifest(media_type)))
        said = media_type;
    if (!said)
        said = listed ? MEDIA_OCI_INDEX : MEDIA_OCI_MANIFEST;
    if (!media_type_is_index(said) && !media_type_is_manifest(said))
        return error_set_class(err, ERROR_INVALID, "unsupported manifest media type '%s'", said);
    manifest->is_index = media_type_is_index(said);
    /* A document that is both could be read differently by two programs (CVE-2021-41190). */
    if (listed != manifest->is_index ||
        (listed && (json_object_get(document, "layers") || json_object_get(document, "config"))))
        return error_set_class(err, ERROR_INVALID, "manifest contradicts its media type '%s'",
                               said);
    if (string_replace(&manifest->media_type, said) < 0)
        return error_oom(err);
    if (listed)
        return parse_entries(document, "manifests", MANIFEST_ENTRIES_MAX, manifest, err);
    r = parse_descriptor(json_object_get(document, "config"), &manifest->config, err);
    if (r < 0)
        return error_wrap(err, r, "manifest's config");
    return parse_entries(document, "layers", IMAGE_LAYERS_MAX, manifest, err);
}

int manifest_parse(const char *text, size_t length, const char *media_type, struct manifest **ret,
                   struct error *err)
{
    CLEANUP_JSON json_t *document = NULL;
    if (length > MANIFEST_MAX)
        return error_set_class(err, ERROR_INVALID, "manifest is larger than %d bytes",
                               (int)MANIFEST_MAX);
    int r = json_parse(text, length, &document, err);
    if (r < 0)
        return error_classify(err, r, ERROR_INVALID);
    CLEANUP(manifest_cleanup) struct manifest *manifest = calloc(1, sizeof(*manifest));
    if (!manifest)
        return error_oom(err);
    r = parse_manifest(document, media_type, manifest, err);
    if (r < 0)
        return r == -ENOMEM ? r : error_classify(err, r, ERROR_INVALID);
    *ret = TAKE_PTR(manifest);
    return 0;
}

const struct descriptor *manifest_pick(const struct manifest *index,
                                       const struct image_platform *platform)
{
    const struct descriptor *best = NULL;
    int best_score = 0;
    for (size_t i = 0; i < index->n; i++) {
        const struct descriptor *entry = &index->entries[i];
        struct image_platform have = {entry->os, entry->architecture, entry->variant};
        if (entry->attestation)
            continue;
        int score = platform_score(&have, platform);
        if (score > best_score) {
            best = entry;
            best_score = score;
        }
    }
    return best;
}

static json_t *format_descriptor(const char *media_type, const char *digest, int64_t size)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size",
                     (json_int_t)size);
}

char *manifest_format(const char *config_digest, int64_t config_size,
                      const struct layer_blob *layers, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(
            list, format_descriptor(layers[i].media_type, layers[i].digest, layers[i].size));
    CLEANUP_JSON json_t *document = json_pack(
        "{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_MANIFEST, "config",
        format_descriptor(MEDIA_OCI_CONFIG, config_digest, config_size), "layers", list);
    return document ? json_format(document) : NULL;
}
