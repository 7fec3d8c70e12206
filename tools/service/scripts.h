#ifndef TOOLS_SERVICE_SCRIPTS_H
#define TOOLS_SERVICE_SCRIPTS_H

/*
 * The scripts of a service directory. Nothing in them names the directory,
 * so a copy under another name is another service.
 */

#include "tools/service/services.h"

/* What a script may need to know; all of it plain (script_is_plain). */
struct setting {
	struct view home;
	struct view control; /* control/, as seen from the directory */
	struct view account; /* empty: stay who supervise is */
	struct view logaccount;
	struct view check; /* the checkpassword program */
};

/* True if no shell and no make reads anything into these characters. */
bool script_is_plain(struct view v);

/* Each overwrites *text. */
void script_run(struct str *text, const struct service *service,
		const struct setting *setting);
void script_log(struct str *text, const struct setting *setting);
void script_makefile(struct str *text, const struct setting *setting);
/* add-NAME, which puts rules with these instructions into tcp. */
void script_add(struct str *text, const struct setting *setting,
		const char *name, const char *purpose,
		const char *instructions);

#endif
