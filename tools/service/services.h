#ifndef TOOLS_SERVICE_SERVICES_H
#define TOOLS_SERVICE_SERVICES_H

/*
 * What each service is: the differences between the programs of this folder.
 *
 * Texts hold what a service directory will say, with these in it:
 *
 *	@CONTROL@  the path of control/, as seen from the directory
 *	@CHECK@    the checkpassword program
 *
 * Nobody's input comes into a text without a look at its characters, since
 * a shell reads it.
 */

#include "lib/str.h"

#define SERVICE_NEEDS 4
#define SERVICE_VARIABLES 3

struct service {
	const char *name; /* of the program that makes the directory */
	const char *port; /* NULL: it serves no connections */
	const char *rules;
	const char *chain;                /* what tcpserver runs */
	const char *needs[SERVICE_NEEDS]; /* programs in bin/ */
	/* Files in env/, besides those of every server. */
	const char *variables[SERVICE_VARIABLES];
	bool logs_in; /* a checkpassword program becomes the user */
	bool tls;
};

/* NULL: no program of this name makes a service. */
const struct service *service_find(const char *name);

#endif
