#include "image/pull.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "image/blob.h"
#include "image/manifest.h"
#include "image/platform.h"
#include "image/register.h"
#include "image/registry-hosts.h"
#include "spec/reference.h"

#define ACCEPT_MANIFESTS \
    MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

DEFINE_CLEANUP(struct image_config *, config_cleanup, image_config_free)

/* --- talking to the caller --- */

static void pull_report(void *data, const struct image_progress_event *event)
{
    struct pull *pull = data;
    pthread_mutex_lock(&pull->report_lock);
    monitor_report(pull->caller, event);
    pthread_mutex_unlock(&pull->report_lock);
}

static bool pull_cancelled(void *data)
{
    struct pull *pull = data;
    pthread_mutex_lock(&pull->lock);
    bool stop = pull->stop;
    pthread_mutex_unlock(&pull->lock);
    return stop || monitor_cancelled(pull->caller);
}

/* --- manifests --- */

/* docker's words for what the registry refused (moby's distribution/errors.go). */
static int translate(const struct reference *reference, const struct registry_response *response,
                     int code, struct error *err)
{
    struct error cause = *err;
    CLEANUP_FREE char *name = reference_familiar_name(reference);
    CLEANUP_FREE char *full = reference_familiar_string(reference);
    if (!name || !full)
        return error_oom(err);
    if (strcmp(response->code, "DENIED") == 0)
        return error_set_class(err, ERROR_NOT_FOUND,
                               "pull access denied for %s, repository does not exist or may "
                               "require 'docker login': %s",
                               name, cause.message);
    if (strcmp(response->code, "MANIFEST_UNKNOWN") == 0 ||
        (response->status == 404 && !response->code[0]))
        return error_set_class(err, ERROR_NOT_FOUND, "manifest for %s not found: %s", full,
                               response->code[0] ? cause.message
                                                 : "manifest unknown: manifest unknown");
    if (strcmp(response->code, "NAME_UNKNOWN") == 0)
        return error_set_class(err, ERROR_NOT_FOUND, "repository %s not found: %s", name,
                               cause.message);
    return code;
}

/* Fetches a manifest by tag or digest and stores it. *ret_digest is that of its bytes. */
static int fetch_manifest(struct pull *pull, const struct reference *reference, const char *which,
                          char ret_digest[DIGEST_TEXT_SIZE], int64_t *ret_size,
                          struct manifest **ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(MANIFEST_MAX);
    CLEANUP_FREE char *path = string_format("manifests/%s", which);
    struct registry_response response;
    struct error why = ERROR_INIT;
    if (!path)
        return error_oom(err);
    const struct registry_request request = {
        .path = path,
        .accept = ACCEPT_MANIFESTS,
        .body = &body,
    };
    int r = registry_get(&pull->registry, &request, &response, &why);
    pull->answered |= response.status != 0;
    if (r < 0) {
        r = translate(reference, &response, r, &why);
        return error_copy(err, &why);
    }
    if (digest_of(buffer_string(&body), body.length, ret_digest) < 0)
        return error_set(err, -EIO, "cannot compute sha256");
    if (digest_is_valid(which) && strcmp(which, ret_digest) != 0)
        return error_set_class(err, ERROR_INVALID, "manifest verification failed for digest %s",
                               which);
    r = manifest_parse(buffer_string(&body), body.length, response.content_type, ret, err);
    if (r < 0)
        return error_wrap(err, r, "manifest %s", ret_digest);
    *ret_size = (int64_t)body.length;
    if ((*ret)->is_index)
        return 0;
    r = blob_put(pull->store, &pull->lease, buffer_string(&body), body.length, ret_digest, err);
    if (r < 0)
        *ret = manifest_free(*ret);
    return r;
}

static const struct image_platform *wanted_platform(const struct pull *pull)
{
    return pull->options->platform ? pull->options->platform : &pull->store->platform;
}

/* From an index to the manifest for the platform. *manifest is replaced. */
static int choose_manifest(struct pull *pull, const struct reference *reference,
                           struct manifest **manifest, char digest[DIGEST_TEXT_SIZE], int64_t *size,
                           struct error *err)
{
    char text[PLATFORM_TEXT_MAX];
    struct manifest *chosen = NULL;
    const struct descriptor *entry = manifest_pick(*manifest, wanted_platform(pull));
    if (!entry)
        return error_set_class(err, ERROR_NOT_FOUND,
                               "no matching manifest for %s in the manifest list entries",
                               platform_format(wanted_platform(pull), text));
    int r = fetch_manifest(pull, reference, entry->digest, digest, size, &chosen, err);
    if (r < 0)
        return r;
    manifest_free(*manifest);
    *manifest = chosen;
    return chosen->is_index ? error_set_class(err, ERROR_INVALID,
                                              "index within an index: %s is not supported", digest)
                            : 0;
}

static int check_config(const struct pull *pull, const struct reference *reference,
                        const struct manifest *manifest, const struct image_config *config,
                        struct error *err)
{
    char have_text[PLATFORM_TEXT_MAX], need_text[PLATFORM_TEXT_MAX];
    const struct image_platform *need = wanted_platform(pull);
    struct image_platform have = {config->os, config->architecture, config->variant};
    if (strcmp(config->os, pull->store->platform.os) != 0)
        return error_set_class(err, ERROR_INVALID,
                               "image operating system \"%s\" cannot be used on this platform: "
                               "%s is needed",
                               config->os, pull->store->platform.os);
    if (pull->options->platform && !platform_fits(&have, need)) {
        CLEANUP_FREE char *name = reference_familiar_string(reference);
        return error_set_class(err, ERROR_NOT_FOUND,
                               "image with reference %s was found but does not match the "
                               "specified platform: wanted %s, actual: %s",
                               string_or(name, ""), platform_format(need, need_text),
                               platform_format(&have, have_text));
    }
    if (strv_length(config->diff_ids) != manifest->n)
        return error_set_class(err, ERROR_INVALID,
                               "manifest has %zu layers, but the image's configuration %zu",
                               manifest->n, strv_length(config->diff_ids));
    return 0;
}

static int fetch_config(struct pull *pull, const struct descriptor *descriptor,
                        struct image_config **ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(IMAGE_CONFIG_MAX);
    if (descriptor->size > IMAGE_CONFIG_MAX)
        return error_set_class(err, ERROR_INVALID, "image configuration %s is too large",
                               descriptor->digest);
    int r = pull_blob(pull, descriptor->digest, descriptor->size, NULL, err);
    if (r < 0 || (r = blob_read(pull->store, descriptor->digest, &text, err)) < 0)
        return r;
    r = image_config_parse(buffer_string(&text), text.length, ret, err);
    return r < 0 ? error_wrap(err, r, "image configuration %s", descriptor->digest) : 0;
}

/* --- names --- */

static char *digest_name(const struct reference *reference, const char *digest)
{
    return string_format("%s/%s@%s", reference->domain, reference->path, digest);
}

static int name_image(struct pull *pull, const struct reference *reference,
                      const struct index_entry *entry, const char *top_digest,
                      struct image_names *ret, struct error *err)
{
    bool same = false, same_digest = false;
    CLEANUP_FREE char *familiar = reference_familiar_string(reference);
    CLEANUP_FREE char *by_digest = digest_name(reference, top_digest);
    CLEANUP_FREE char *by_tag = reference->digest ? NULL : reference_string(reference);
    if (!familiar || !by_digest || (!by_tag && !reference->digest))
        return error_oom(err);
    int r = register_name(pull->store, entry, by_digest, NULL, &same_digest, err);
    if (r == 0 && by_tag)
        r = register_name(pull->store, entry, by_tag, NULL, &same, err);
    if (r < 0)
        return r;
    if (reference->digest)
        same = same_digest;
    monitor_status(&pull->monitor, NULL, "Digest: %s", top_digest);
    monitor_status(&pull->monitor, NULL,
                   same ? "Status: Image is up to date for %s"
                        : "Status: Downloaded newer image for %s",
                   familiar);
    return register_report(ret, entry->image_id, familiar) < 0 ? error_oom(err) : 0;
}

static int pull_image(struct pull *pull, const struct reference *reference,
                      struct manifest **manifest, const char *top_digest,
                      const char *manifest_digest, int64_t manifest_size, struct image_names *ret,
                      struct error *err)
{
    CLEANUP(config_cleanup) struct image_config *config = NULL;
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    CLEANUP_STRV char **blobs = NULL;
    int r = fetch_config(pull, &(*manifest)->config, &config, err);
    if (r < 0 || (r = check_config(pull, reference, *manifest, config, err)) < 0 ||
        (r = pull_layers(pull, *manifest, config->diff_ids, err)) < 0 ||
        (r = store_sync(pull->store, err)) < 0)
        return r;
    for (size_t i = 0; i < (*manifest)->n; i++)
        if (strv_append(&blobs, (*manifest)->entries[i].digest) < 0)
            return error_oom(err);
    r = register_prepare((*manifest)->config.digest, manifest_digest, (*manifest)->media_type,
                         manifest_size, blobs, config->diff_ids, &entry, err);
    return r < 0 ? r : name_image(pull, reference, &entry, top_digest, ret, err);
}

static int pull_reference(struct pull *pull, const struct reference *reference,
                          struct image_names *ret, struct error *err)
{
    CLEANUP(manifest_cleanup) struct manifest *manifest = NULL;
    char top_digest[DIGEST_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];
    const char *which = reference->digest ? reference->digest : reference->tag;
    int64_t size = 0;
    int r = fetch_manifest(pull, reference, which, top_digest, &size, &manifest, err);
    if (r < 0)
        return r;
    /* The path as the registry knows it, without the host, as docker prints it. */
    monitor_status(&pull->monitor, which, "Pulling from %s", reference->path);
    string_copy(digest, sizeof(digest), top_digest);
    if (manifest->is_index &&
        (r = choose_manifest(pull, reference, &manifest, digest, &size, err)) < 0)
        return r;
    return pull_image(pull, reference, &manifest, top_digest, digest, size, ret, err);
}

/* --- all tags --- */

static int list_page(struct pull *pull, const struct reference *reference, char ***tags,
                     bool *ret_more, struct error *err)
{
    CLEANUP(buffer_release) struct buffer body = BUFFER_INIT(PULL_TAGS_BODY_MAX);
    CLEANUP_JSON json_t *document = NULL;
    CLEANUP_STRV char **page = NULL;
    struct registry_response response;
    size_t have = strv_length(*tags);
    CLEANUP_FREE char *path =
        string_format("tags/list?n=1000%s%s", have ? "&last=" : "", have ? (*tags)[have - 1] : "");
    if (!path)
        return error_oom(err);
    const struct registry_request request = {.path = path, .body = &body};
    struct error why = ERROR_INIT;
    int r = registry_get(&pull->registry, &request, &response, &why);
    pull->answered |= response.status != 0;
    if (r < 0) {
        r = translate(reference, &response, r, &why);
        return error_copy(err, &why);
    }
    if ((r = json_parse(buffer_string(&body), body.length, &document, err)) < 0 ||
        (r = json_get_strv(document, "tags", PULL_TAGS_MAX, &page, err)) < 0)
        return r;
    for (size_t i = 0; page && page[i]; i++)
        if (!reference_tag_is_valid(page[i]))
            return error_set_class(err, ERROR_INVALID, "registry lists an invalid tag");
    if (strv_extend(tags, page) < 0)
        return error_oom(err);
    *ret_more = response.more && strv_length(page) > 0 && strv_length(*tags) < PULL_TAGS_MAX;
    return 0;
}

static int pull_all_tags(struct pull *pull, const struct reference *reference,
                         struct image_names *ret, struct error *err)
{
    CLEANUP_STRV char **tags = NULL;
    bool more = true;
    int r = 0;
    while (r == 0 && more)
        r = list_page(pull, reference, &tags, &more, err);
    for (size_t i = 0; r == 0 && tags && tags[i]; i++) {
        CLEANUP(reference_release) struct reference tagged = REFERENCE_INIT;
        if (reference_copy(reference, &tagged) < 0 || string_replace(&tagged.tag, tags[i]) < 0)
            return error_oom(err);
        r = pull_reference(pull, &tagged, ret, err);
    }
    return r;
}

/* --- endpoints --- */

/* Tries each endpoint until one answers. A mirror's answer only counts when it is a good one; https
 * that cannot be spoken leads on to http, where that is allowed. */
static int try_endpoints(struct pull *pull, const struct reference *reference,
                         const struct registry_endpoint *endpoints, size_t n,
                         struct image_names *ret, struct error *err)
{
    int r = -ENOENT;
    struct error first = ERROR_INIT;
    for (size_t i = 0; i < n; i++) {
        struct error why = ERROR_INIT;
        pull->answered = false;
        pull->stop = false;
        registry_init(&pull->registry, &endpoints[i], reference->path,
                      endpoints[i].mirror ? NULL : pull->options->auth, &pull->monitor);
        r = pull->options->all_tags ? pull_all_tags(pull, reference, ret, &why)
                                    : pull_reference(pull, reference, ret, &why);
        registry_release(&pull->registry);
        if (r == 0)
            return 0;
        /* http was only a second try: when it is not there either, https's reason is the better
         * one. */
        if (i > 0 && !endpoints[i].mirror && !endpoints[i - 1].mirror && !pull->answered)
            why = first;
        if (first.code == 0 || endpoints[i].mirror)
            first = why;
        bool local = why.code == -ECANCELED || why.code == -ENOMEM || why.code == -ENOSPC;
        if (local || i + 1 == n || (!endpoints[i].mirror && pull->answered))
            return error_copy(err, &why);
    }
    return error_copy(err, &first);
}

static int run_pull(struct pull *pull, const struct reference *reference, struct image_names *ret,
                    struct error *err)
{
    struct registry_endpoint *endpoints = NULL;
    size_t n = 0;
    int r = registry_endpoints(pull->store, reference->domain, &endpoints, &n, err);
    if (r == 0)
        r = try_endpoints(pull, reference, endpoints, n, ret, err);
    registry_endpoints_free(endpoints, n);
    return r;
}

static int parse_options(const struct image_pull_options *options, struct reference *ret,
                         struct error *err)
{
    int r = reference_parse(options->reference, ret, err);
    if (r < 0)
        return r;
    if (options->all_tags && (ret->tag || ret->digest))
        return error_set_class(err, ERROR_INVALID, "tag can't be used with --all-tags/-a");
    /* With both, the digest decides, as with docker. */
    if (ret->digest) {
        free(ret->tag);
        ret->tag = NULL;
    }
    if (!options->all_tags && reference_default_tag(ret) < 0)
        return error_oom(err);
    return 0;
}

int image_pull(struct image_store *store, const struct image_pull_options *options,
               const struct image_monitor *monitor, struct image_names *ret, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP(image_names_release) struct image_names names = IMAGE_NAMES_INIT;
    struct pull pull = {.store = store, .options = options, .caller = monitor};
    pthread_condattr_t attributes;
    int r = parse_options(options, &reference, err);
    if (r < 0)
        return r;
    pull.monitor = (struct image_monitor){pull_report, pull_cancelled, &pull};
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&pull.report_lock, NULL);
    pthread_mutex_init(&pull.lock, NULL);
    pthread_cond_init(&pull.changed, &attributes);
    pthread_condattr_destroy(&attributes);
    store_lease_begin(store, &pull.lease);
    r = run_pull(&pull, &reference, ret ? ret : &names, err);
    store_lease_end(store, &pull.lease, r < 0);
    pthread_cond_destroy(&pull.changed);
    pthread_mutex_destroy(&pull.lock);
    pthread_mutex_destroy(&pull.report_lock);
    return r;
}
