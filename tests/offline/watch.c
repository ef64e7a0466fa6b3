/* Preloaded into a process and its children: writes every attempt to reach another machine to $WATCH_LOG, and refuses
 * it. Python's own hooks do not see what libraries in C do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void tell(const char *what, const char *where)
{
    const char *log = getenv("WATCH_LOG");
    char line[600];
    int length = snprintf(line, sizeof line, "%s %s\n", what, where);
    int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (out >= 0) {
        if (write(out, line, (size_t)length) < 0)
            abort();
        close(out);
    }
}

static int outside(const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) != 127;
    if (address && address->sa_family == AF_INET6)
        return !IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return 0;
}

int connect(int handle, const struct sockaddr *address, socklen_t length)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (outside(address)) {
        tell("connect", address->sa_family == AF_INET ? "IPv4" : "IPv6");
        errno = ENETUNREACH;
        return -1;
    }
    if (!real)
        real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    return real(handle, address, length);
}

ssize_t sendto(int handle, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
    static ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    if (outside(address)) {
        tell("sendto", address->sa_family == AF_INET ? "IPv4" : "IPv6");
        errno = ENETUNREACH;
        return -1;
    }
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))dlsym(
            RTLD_NEXT, "sendto");
    return real(handle, data, size, flags, address, length);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (node && strcmp(node, "localhost") && strncmp(node, "127.", 4) && strcmp(node, "::1")) {
        tell("look-up", node);
        return EAI_FAIL;
    }
    if (!real)
        real = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(
            RTLD_NEXT, "getaddrinfo");
    return real(node, service, hints, found);
}
