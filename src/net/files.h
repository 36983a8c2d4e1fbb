/* The texts of a container's /etc/resolv.conf, /etc/hosts and /etc/hostname, as docker writes them.
 * Pure functions: reading the host's files and writing the container's is the caller's part. */
#ifndef HULL_NET_FILES_H
#define HULL_NET_FILES_H

#include <stddef.h>

struct buffer;
struct error;

enum {
    NET_FILES_MAX = 256 * 1024, /* bytes, a good maximum for the buffers below */
    NET_HOSTS_EXTRA_MAX = 1024, /* --add-host */
    NET_DNS_MAX = 64,           /* of servers, search domains and options each */
};

struct net_resolv_config {
    char *const *servers; /* --dns: replaces the host's nameservers; NULL or empty: the host's */
    char *const *search;  /* --dns-search: replaces; the single "." means none */
    char *const *options; /* --dns-option: replaces */
};

/* Appends a resolv.conf (resolv.conf(5)) made from the host's text (may be NULL), minus nameservers
 * on loopback addresses, which mean another machine inside a container; when none is left, 8.8.8.8
 * and 8.8.4.4. A setting that is no address, or holds white space or control characters, is
 * ERROR_INVALID. */
int net_resolv_conf(const char *host_text, const struct net_resolv_config *config,
                    struct buffer *output, struct error *err);

/* The host's file to read: /run/systemd/resolve/resolv.conf where `etc_text` (the content of
 * /etc/resolv.conf) names only the stub 127.0.0.53, else /etc/resolv.conf. A constant. */
const char *net_resolv_conf_path(const char *etc_text);

struct net_hosts_config {
    const char *address;  /* the container's, text; NULL: none (--network none) */
    const char *hostname; /* required with address */
    const char *domain;   /* NULL or "": none */
    char *const *extra;   /* --add-host, "name:address"; address "host-gateway" means `gateway` */
    const char *gateway;
};

/* Appends a hosts(5) file. */
int net_hosts(const struct net_hosts_config *config, struct buffer *output, struct error *err);

/* Appends "hostname\n". -EINVAL (ERROR_INVALID) unless it is a valid name of RFC 1123 with at most
 * 64 characters (HOST_NAME_MAX). */
int net_hostname(const char *hostname, struct buffer *output, struct error *err);

#endif
