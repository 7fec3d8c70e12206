#ifndef LIB_ALLOW_H
#define LIB_ALLOW_H

/*
 * control/deliveryids: which uids mail may be delivered as, and where their
 * homes lie. Its lines are
 *
 *	1000 1000       this uid, with this gid
 *	1000            this uid, with any gid but 0
 *	1000-59999      all of these uids, with any gid from 100 on
 *	/home           homes in here
 *
 * Nothing makes uid 0 or gid 0 allowed, and a uid below 100 only a line of
 * its own. The file is the last word of root, whatever users/cdb or passwd
 * say; so root must own it, and nobody else may write to it.
 */

#include <sys/types.h>

#include "lib/control.h"
#include "lib/filemark.h"

/* Check file and owner, and read it. On CONTROL_ERROR errno says why. */
enum control_result allow_load(int homefd, struct control_list *list) MUST_USE;

/*
 * The same, read again only when the file has changed. All zero is one not
 * read yet. The list is in table->list.
 */
struct allow_table {
	bool is_loaded;
	struct filemark mark;
	struct control_list list;
};

enum control_result allow_renew(struct allow_table *table, int homefd) MUST_USE;
void allow_free(struct allow_table *table);

bool allow_ids(const struct control_list *list, uid_t uid, gid_t gid);
/* home must lie below a listed folder, or be one, and hold no `..`. */
bool allow_home(const struct control_list *list, struct view home);

#endif
