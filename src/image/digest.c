#include "image/digest.h"

#include <openssl/evp.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "spec/reference.h"

struct digest {
    EVP_MD_CTX *context;
};

struct digest *digest_free(struct digest *digest)
{
    if (!digest)
        return NULL;
    EVP_MD_CTX_free(digest->context);
    free(digest);
    return NULL;
}

void digest_cleanup(struct digest **digest)
{
    *digest = digest_free(*digest);
}

int digest_reset(struct digest *digest)
{
    return EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int digest_new(struct digest **ret, struct error *err)
{
    CLEANUP(digest_cleanup) struct digest *digest = calloc(1, sizeof(*digest));
    if (!digest)
        return error_oom(err);
    digest->context = EVP_MD_CTX_new();
    if (!digest->context)
        return error_oom(err);
    if (digest_reset(digest) < 0)
        return error_set(err, -EIO, "cannot compute sha256");
    *ret = TAKE_PTR(digest);
    return 0;
}

int digest_update(struct digest *digest, const void *data, size_t length)
{
    return EVP_DigestUpdate(digest->context, data, length) == 1 ? 0 : -EIO;
}

static void format_digest(char text[DIGEST_TEXT_SIZE], const unsigned char *hash)
{
    memcpy(text, "sha256:", DIGEST_PREFIX_LENGTH);
    string_hex(text + DIGEST_PREFIX_LENGTH, hash, 32);
}

int digest_finish(struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    if (EVP_DigestFinal_ex(digest->context, hash, NULL) != 1)
        return -EIO;
    format_digest(text, hash);
    return 0;
}

int digest_of(const void *data, size_t length, char text[DIGEST_TEXT_SIZE])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    if (EVP_Digest(data, length, hash, NULL, EVP_sha256(), NULL) != 1)
        return -EIO;
    format_digest(text, hash);
    return 0;
}

const char *digest_hex(const char *digest)
{
    return string_starts_with(digest, "sha256:") ? digest + DIGEST_PREFIX_LENGTH : digest;
}

void digest_short(const char *digest, char text[DIGEST_SHORT + 1])
{
    string_copy(text, DIGEST_SHORT + 1, digest_hex(digest));
}
