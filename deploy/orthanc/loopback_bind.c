/* Keeps a child Orthanc at home: preloaded into it by ops/orthanc_child.py.
 *
 * 1. Orthanc 1.10 (Debian 12) listens on every interface, for HTTP and for DICOM, and no setting
 *    changes that; 1.12 knows HttpBindAddresses, but nothing of the kind for DICOM.  So whatever
 *    asks for "any address" gets the loopback address instead.  SORG_DICOM_BIND ("4242 10.0.0.5")
 *    names the one port that scanners on the network may reach, and the address for it.
 * 2. The child dies with its parent.  Done here, after exec, because Python may not safely run code
 *    between fork and exec in a process with threads.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct in_addr home_address(in_port_t port) {
    struct in_addr address = {.s_addr = htonl(INADDR_LOOPBACK)};
    const char *wish = getenv("SORG_DICOM_BIND");
    unsigned wished_port;
    char text[INET_ADDRSTRLEN];
    struct in_addr wished;
    if (wish && sscanf(wish, "%u %15s", &wished_port, text) == 2 && wished_port == ntohs(port) &&
        inet_pton(AF_INET, text, &wished) == 1)
        address = wished;
    return address;
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
    static int (*real_bind)(int, const struct sockaddr *, socklen_t);
    if (!real_bind)
        real_bind = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");

    if (address && address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) {
            v4.sin_addr = home_address(v4.sin_port);
            return real_bind(fd, (struct sockaddr *)&v4, sizeof v4);
        }
    }
    if (address && address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
            int only_v6 = 0;
            socklen_t size = sizeof only_v6;
            getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, &size);
            v6.sin6_addr = in6addr_loopback;
            if (!only_v6) { /* A socket for both families keeps answering on the IPv4 address, mapped. */
                struct in_addr v4 = home_address(v6.sin6_port);
                memset(&v6.sin6_addr, 0, 10);
                memset(v6.sin6_addr.s6_addr + 10, 0xff, 2);
                memcpy(v6.sin6_addr.s6_addr + 12, &v4, 4);
            }
            return real_bind(fd, (struct sockaddr *)&v6, sizeof v6);
        }
    }
    return real_bind(fd, address, length);
}

__attribute__((constructor)) static void die_with_parent(void) {
    const char *parent = getenv("SORG_PARENT_PID");
    if (!parent)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != atoi(parent)) /* It died between fork and here: the signal would never come. */
        _exit(1);
}
