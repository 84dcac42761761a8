#ifndef CRESOLVER_H
#define CRESOLVER_H

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

// Asks the system's DNS servers for the service records of `name` and writes their answer to `answer`.
// Returns the answer's length, or minus one of netdb.h's reasons. Any thread may call it.
static inline int resolver_services(const char *name, unsigned char *answer, int capacity) {
    struct __res_state state;
    memset(&state, 0, sizeof(state));
    if (res_ninit(&state) != 0) return -NO_RECOVERY;
    int length = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, capacity);
    int reason = state.res_h_errno;
    res_nclose(&state);
    if (length >= 0) return length > capacity ? capacity : length;
    return reason > 0 ? -reason : -NO_RECOVERY;
}

#endif
