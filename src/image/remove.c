/* docker tag, rmi and image prune. The rules and texts are those of moby's
 * daemon/images/image_delete.go. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "image/digest.h"
#include "image/filter.h"
#include "image/lookup.h"
#include "spec/reference.h"

int image_tag(struct image_store *store, const char *source, const char *target, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    int r = reference_parse(target, &reference, err);
    if (r < 0)
        return r;
    if (reference.digest)
        return error_set_class(err, ERROR_INVALID,
                               "refusing to create a tag with a digest reference");
    if (reference_default_tag(&reference) < 0)
        return error_oom(err);
    if ((r = lookup_entry(store, source, &entry, NULL, err)) < 0)
        return r;
    CLEANUP_FREE char *name = reference_string(&reference);
    if (!name)
        return error_oom(err);
    store_lock(store);
    r = index_find_image(store, entry.image_id)
            ? index_set(store, &entry, name, timestamp_now(), err)
            : error_set_class(err, ERROR_NOT_FOUND, "No such image: %s", source);
    store_unlock(store);
    return r;
}

void image_removals_release(struct image_removals *removals)
{
    for (size_t i = 0; i < removals->n; i++)
        free(removals->entries[i].text);
    free(removals->entries);
    *removals = (struct image_removals)IMAGE_REMOVALS_INIT;
}

/* Consumes text. */
static int report(struct image_removals *removals, bool deleted, char *text)
{
    struct image_removal *entries =
        text ? reallocarray(removals->entries, removals->n + 1, sizeof(*entries)) : NULL;
    if (!entries) {
        free(text);
        return -ENOMEM;
    }
    removals->entries = entries;
    entries[removals->n++] = (struct image_removal){deleted, text};
    return 0;
}

struct removal {
    struct image_store *store;
    const char *image_id;
    const char *typed;
    const struct image_users *users;
    struct image_removals *report;
    bool force;
};

static int find_user(const struct removal *removal, char container[65], bool *running)
{
    *running = false;
    container[0] = '\0';
    if (!removal->users || !removal->users->find)
        return 0;
    return removal->users->find(removal->users->data, removal->image_id, container, running);
}

static int conflict(const struct removal *removal, bool hard, const char *message,
                    const char *container, struct error *err)
{
    char id[DIGEST_SHORT + 1];
    digest_short(removal->image_id, id);
    return error_set_class(err, ERROR_CONFLICT, "conflict: unable to delete %s (%s) - %s%.12s", id,
                           hard ? "cannot be forced" : "must be forced", message, container);
}

/* checkImageDeleteConflict. *ret_used: the conflict is a container (prune is told so). */
static int check_conflicts(const struct removal *removal, bool check_names, struct error *err)
{
    char container[65];
    bool running;
    CLEANUP_STRV char **names = NULL;
    int used = find_user(removal, container, &running);
    if (used < 0)
        return error_set_errno(err, used, "cannot find out who uses the image");
    if (used && running)
        return conflict(removal, true, "image is being used by running container ", container, err);
    if (removal->force)
        return 0;
    if (lookup_names(removal->store, removal->image_id, &names) < 0)
        return error_oom(err);
    if (check_names && strv_length(names) > 0)
        return conflict(removal, false, "image is referenced in multiple repositories", "", err);
    if (used)
        return conflict(removal, false, "image is being used by stopped container ", container,
                        err);
    return 0;
}

static int untag(const struct removal *removal, const char *name, struct error *err)
{
    store_lock(removal->store);
    int r = index_unset(removal->store, name, err);
    store_unlock(removal->store);
    /* Somebody else was quicker: there is nothing to report. */
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    return report(removal->report, false, lookup_familiar(name)) < 0 ? error_oom(err) : 0;
}

/* "a:b" and "a@d" are in one repository; docker counts one tag and any digests of it as a single
 * name. */
static bool same_repository(const char *a, const char *b)
{
    CLEANUP(reference_release) struct reference left = REFERENCE_INIT;
    CLEANUP(reference_release) struct reference right = REFERENCE_INIT;
    return reference_parse(a, &left, NULL) == 0 && reference_parse(b, &right, NULL) == 0 &&
           strcmp(left.domain, right.domain) == 0 && strcmp(left.path, right.path) == 0;
}

static bool is_digested(const char *name)
{
    return strchr(name, '@') != NULL;
}

/* isSingleReference: one name, or one tag and digests of its repository, or digests of one
 * repository. */
static bool is_single(char *const *names)
{
    const char *first_tag = NULL;
    if (strv_length(names) <= 1)
        return true;
    for (size_t i = 0; names[i]; i++) {
        if (is_digested(names[i]))
            continue;
        if (first_tag)
            return false;
        first_tag = names[i];
    }
    for (size_t i = 0; names[i]; i++)
        if (!same_repository(names[i], first_tag ? first_tag : names[0]))
            return false;
    return true;
}

/* The image itself, and what only it kept. */
static int delete_image(const struct removal *removal, struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    CLEANUP_STRV char **chains = NULL;
    if (lookup_names(removal->store, removal->image_id, &names) < 0)
        return error_oom(err);
    for (size_t i = 0; names[i]; i++) {
        int r = untag(removal, names[i], err);
        if (r < 0)
            return r;
    }
    store_lock(removal->store);
    bool there = index_find_image(removal->store, removal->image_id) != NULL;
    int r = there ? index_remove_image(removal->store, removal->image_id, err) : 0;
    store_unlock(removal->store);
    if (r < 0 || !there)
        return r;
    if (report(removal->report, true, strdup(removal->image_id)) < 0)
        return error_oom(err);
    store_sweep(removal->store, &removal->report->space_reclaimed, &chains);
    for (size_t i = 0; chains && chains[i]; i++)
        if (report(removal->report, true, strdup(chains[i])) < 0)
            return error_oom(err);
    return 0;
}

/* After a tag went: digests of its repository go too when no other tag of it is left. */
static int drop_orphaned_digests(const struct removal *removal, const char *name, char ***ret_rest,
                                 struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    if (lookup_names(removal->store, removal->image_id, &names) < 0)
        return error_oom(err);
    bool tag_left = is_digested(name);
    for (size_t i = 0; names[i]; i++)
        tag_left |= !is_digested(names[i]) && same_repository(names[i], name);
    for (size_t i = 0; !tag_left && names[i]; i++) {
        int r = is_digested(names[i]) && same_repository(names[i], name)
                    ? untag(removal, names[i], err)
                    : 0;
        if (r < 0)
            return r;
    }
    return lookup_names(removal->store, removal->image_id, ret_rest) < 0 ? error_oom(err) : 0;
}

static int remove_by_name(const struct removal *removal, const char *name, struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    CLEANUP_STRV char **rest = NULL;
    char container[65], id[DIGEST_SHORT + 1];
    bool running;
    if (lookup_names(removal->store, removal->image_id, &names) < 0)
        return error_oom(err);
    if (!removal->force && is_single(names)) {
        int used = find_user(removal, container, &running);
        if (used < 0)
            return error_set_errno(err, used, "cannot find out who uses the image");
        digest_short(removal->image_id, id);
        if (used)
            return error_set_class(err, ERROR_CONFLICT,
                                   "conflict: unable to remove repository reference \"%s\" (must "
                                   "force) - container %.12s is using its referenced image %s",
                                   removal->typed, container, id);
    }
    int r = untag(removal, name, err);
    if (r < 0 || (r = drop_orphaned_digests(removal, name, &rest, err)) < 0)
        return r;
    if (strv_length(rest) > 0)
        return 0;
    /* The name is gone, as asked; an image that is in use stays, without one, and that is no
     * failure. */
    struct error why = ERROR_INIT;
    r = check_conflicts(removal, false, &why);
    if (r < 0)
        return why.class == ERROR_CONFLICT ? 0 : error_copy(err, &why);
    return delete_image(removal, err);
}

static int remove_by_id(const struct removal *removal, struct error *err)
{
    CLEANUP_STRV char **names = NULL;
    if (lookup_names(removal->store, removal->image_id, &names) < 0)
        return error_oom(err);
    int r = check_conflicts(removal, !is_single(names), err);
    return r < 0 ? r : delete_image(removal, err);
}

int image_remove(struct image_store *store, const char *name, bool force, bool prune,
                 const struct image_users *users, struct image_removals *ret, char **ret_id,
                 struct error *err)
{
    CLEANUP(index_entry_release) struct index_entry entry = {0};
    bool named = false;
    (void)prune;
    int r = lookup_entry(store, name, &entry, &named, err);
    if (r < 0)
        return r;
    const struct removal removal = {
        .store = store,
        .image_id = entry.image_id,
        .typed = name,
        .users = users,
        .report = ret,
        .force = force,
    };
    r = named ? remove_by_name(&removal, entry.name, err) : remove_by_id(&removal, err);
    if (r >= 0 && ret_id)
        *ret_id = TAKE_PTR(entry.image_id);
    return r;
}

/* Dangling images: by id; with `all` also those with names, whose users decide alone. */
static int prune_one(struct image_store *store, const struct image *image,
                     const struct image_users *users, struct image_removals *ret, struct error *err)
{
    char container[65];
    bool running;
    const struct removal removal = {
        .store = store,
        .image_id = image->id,
        .typed = image->id,
        .users = users,
        .report = ret,
        .force = true,
    };
    int used = find_user(&removal, container, &running);
    if (used < 0)
        return error_set_errno(err, used, "cannot find out who uses the image");
    return used ? 0 : delete_image(&removal, err);
}

int image_prune(struct image_store *store, const struct image_filter *filter,
                const struct image_users *users, struct image_removals *ret, struct error *err)
{
    struct image_filter wanted = filter ? *filter : (struct image_filter)IMAGE_FILTER_INIT;
    struct image **images = NULL;
    size_t n = 0;
    /* `dangling=false` means all unused ones here, not only those with a name. */
    wanted.dangling = wanted.dangling == 0 ? -1 : 1;
    int r = image_list(store, &wanted, &images, &n, err);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = prune_one(store, images[i], users, ret, err);
    image_list_free(images, n);
    return r;
}
