#ifndef TOOLS_UCSPI_CLIENTOPTIONS_H
#define TOOLS_UCSPI_CLIENTOPTIONS_H

/*
 * tcpclient's command line. Strings are borrowed from argv.
 */

#include "lib/ipaddr.h"
#include "tools/ucspi/option.h"

struct client_options {
	struct common_options common;
	unsigned first_timeout_s; /* -T: for an address, at first */
	unsigned again_timeout_s; /* and when all were tried; 0: not again */
	bool has_local_ip;
	struct ipaddr local_ip; /* -i */
	unsigned local_port;    /* -p; 0: any */
	const char *host;
	const char *port;
	char *const *program;
};

/* Complains and exits EXIT_REJECT when the command line is wrong. */
void client_options_parse(struct client_options *o, int argc, char **argv);

#endif
