#ifndef TOOLS_UCSPI_BLOCKASK_H
#define TOOLS_UCSPI_BLOCKASK_H

/*
 * Asking block lists about an address, in a child: whoever answers DNS
 * questions has to do with that one only. It is in a sandbox, has neither
 * the client nor anything else that is open here, and says its verdict
 * through a pipe. If it ends or is late, nothing could be asked.
 */

#include "tools/ucspi/blocklists.h"

#define REFUSAL_TEXT_MAX 200 /* of what is told to the client */

/*
 * Everything within timeout_s. Never VERDICT_PENDING; *text is overwritten
 * with what to tell the client. Lists that did not answer are named on
 * descriptor 2.
 */
enum verdict blockask(struct blocklists *lists, const struct ipaddr *ip,
		      struct view ip_text, unsigned timeout_s,
		      struct str *text);

#endif
