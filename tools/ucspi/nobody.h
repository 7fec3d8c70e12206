#ifndef TOOLS_UCSPI_NOBODY_H
#define TOOLS_UCSPI_NOBODY_H

#include <sys/types.h>

/*
 * As whom root lets a process read what strangers say: qmaild of users/ids,
 * and failing that 65534, which owns nothing.
 */
void nobody_find(uid_t *uid, gid_t *gid);

#endif
