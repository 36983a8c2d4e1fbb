/* Answers to a registry's challenge: a bearer token (docker's "token authentication" and OAuth2
 * documents) or user and password. */
#ifndef HULL_IMAGE_AUTH_H
#define HULL_IMAGE_AUTH_H

struct challenges;
struct error;
struct registry;

/* Sets registry->authorization or ->basic. ERROR_UNAUTHORIZED "no basic auth credentials" when user
 * and password are needed and not there, or what the token server said. */
int auth_answer(struct registry *registry, const struct challenges *challenges, struct error *err);

/* "Bearer <token>" for the header, checked for characters that would end it; malloc'd. */
int auth_bearer(const char *token, char **ret, struct error *err);

#endif
