#include "queue/received.h"

#include "lib/date.h"

/* Where all names are one uid, it says nothing of who is calling. */
static bool is_user(const struct ids *ids, const char *name, uid_t uid)
{
	uid_t known;
	gid_t gid;

	return !ids->single && ids_user(ids, name, &known, &gid) == 0 &&
	       known == uid;
}

void received_format(struct str *to, const struct ids *ids, uid_t uid,
		     pid_t pid, int64_t unix_s)
{
	str_appendf(to, "Received: (qmail %ld invoked ", (long)pid);
	if (is_user(ids, "alias", uid))
		str_append_c(to, "by alias");
	else if (is_user(ids, "qmaild", uid))
		str_append_c(to, "from network");
	else if (is_user(ids, "qmails", uid))
		str_append_c(to, "for bounce");
	else
		str_appendf(to, "by uid %lu", (unsigned long)uid);
	str_append_c(to, "); ");
	date_format(to, unix_s);
	str_append_byte(to, '\n');
}
