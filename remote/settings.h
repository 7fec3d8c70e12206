#ifndef REMOTE_SETTINGS_H
#define REMOTE_SETTINGS_H

/*
 * What the files in control/ say to qmail-remote. They are read again when
 * one of them has changed.
 *
 *	if (settings_renew(&settings, homefd))
 *		...settings.helo, settings.times, settings.routes
 */

#include "lib/control.h"
#include "lib/filemark.h"
#include "remote/ownaddress.h"
#include "remote/session.h"

#define SETTINGS_FILES 7

struct settings {
	struct str helo; /* the name to greet with */
	struct session_times times;
	struct control_list routes; /* for lib/route.h */
	struct ownaddress own;
	bool is_loaded;
	struct filemark marks[SETTINGS_FILES];
};

/* False when they cannot be read: then the log says why, and none is valid. */
bool settings_renew(struct settings *set, int homefd) MUST_USE;
void settings_free(struct settings *set);

#endif
