#ifndef LSPAWN_GETPW_H
#define LSPAWN_GETPW_H

/* How qmail-getpw tells qmail-lspawn what went wrong. */

enum getpw_exit {
	GETPW_NFS = 115,     /* a home could not be looked at now */
	GETPW_NOALIAS = 116, /* nobody takes the other addresses */
};

#endif
