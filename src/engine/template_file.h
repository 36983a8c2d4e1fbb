/* A template (vm/template.h) on disk: DIRECTORY/<key>/ with
 *
 *     memory          the guest's memory, sparse
 *     state           the rest
 *     template.json   {"version": 1, "memory": "sha256:...", "state": "sha256:..."}: last written
 *
 * all root's. It is read into memory once, and verified while it is, so that nothing that happens
 * to the files later reaches a VM; it need not be synced therefore. Private to engine/. */
#ifndef HULL_ENGINE_TEMPLATE_FILE_H
#define HULL_ENGINE_TEMPLATE_FILE_H

struct error;

#define TEMPLATE_FILE_STATE "state"

/* Writes what is missing in `directory`, which has the state already. */
int template_file_save(const char *directory, int memory, struct error *err);

/* Fills `memory`, a memfd of the size that is expected, and seals it. -ENOENT: there is no
 * template; -EBADMSG: what is there is damaged. */
int template_file_load(const char *directory, int memory, struct error *err);

#endif
