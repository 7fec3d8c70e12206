#ifndef LIB_DISKS_H
#define LIB_DISKS_H

/*
 * On which file systems one fsync of a file makes its name durable, too, if
 * it was given that name before: ext4 with a journal and without fast_commit,
 * XFS and btrfs (doc/durability.md). On all others the directory needs a sync
 * of its own.
 *
 * Only root can read an ext4 superblock, and it must not touch homes, which
 * may lie on a server that hangs. So it lists what is mounted, and whoever
 * writes a file compares:
 *
 *	int fd = disks_open();               root: readable at each change
 *	disks_list(fd, &list);                     that poll(2) tells of
 *	...
 *	if (disks_name_first(str_view(&list), st.st_dev, file)) ...
 *
 * Whatever cannot be found out means: not there.
 */

#include <sys/types.h>

#include "lib/str.h"

/*
 * The table of mounts, close-on-exec. poll(2) says POLLPRI once after each
 * change of it, whoever reads. -1 with errno.
 */
int disks_open(void) MUST_USE;

/*
 * Overwrite *list with the devices of such file systems, 8 bytes each. -1
 * with errno when mounts cannot be read: the list is then empty.
 */
int disks_list(int mounts, struct str *list) MUST_USE;

/*
 * Does the open file `fd` on device `dev` (its st_dev) lie on one? A list
 * that is not there (p NULL) says no.
 */
bool disks_name_first(struct view list, dev_t dev, int fd);

/* Add what one line of the table of mounts says (for the test). */
void disks_add_line(struct str *list, struct view line);

#endif
