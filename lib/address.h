#ifndef LIB_ADDRESS_H
#define LIB_ADDRESS_H

/*
 * Addresses.
 *
 * Inside the house an address is plain bytes, local part unquoted, domain
 * behind the last `@`: `a b@example.org`, never `"a b"@example.org`. Case is
 * kept. Empty is the null sender. Quoting happens at the borders: SMTP
 * (RFC 5321 section 4.1.2) and header fields (RFC 5322 section 3.4). 8-bit
 * bytes in local parts and domains pass unchanged (RFC 6531); whether that
 * is allowed is the caller's to decide with address_is_ascii().
 */

#include "lib/str.h"

#define ADDRESS_MAX_BYTES 1000 /* in the envelope; RFC 5321 promises 256 */

enum address_result {
	ADDRESS_OK,
	ADDRESS_BAD,      /* syntax */
	ADDRESS_TOO_LONG, /* over ADDRESS_MAX_BYTES */
};

/*
 * The path of MAIL FROM or RCPT TO: what follows the colon. Blanks before it
 * are skipped; `<...>` or, lenient, a bare address up to a blank; a source
 * route is stripped; quoted strings and backslash pairs in the local part
 * are undone. *rest is what follows (parameters, untrimmed). Control bytes
 * (NUL, CR, LF, others below 32, 127) anywhere are ADDRESS_BAD; only tabs
 * may separate what blanks may. An address without `@` is OK: the caller
 * decides. On failure *address and *rest are empty. What could not be taken
 * apart again once unquoted (`"a@b"` without a domain) is ADDRESS_BAD, and
 * so is an empty domain.
 */
enum address_result address_parse_path(struct view text, bool lenient,
				       struct str *address,
				       struct view *rest) MUST_USE;

/*
 * Append address as SMTP and headers need it, quoting the local part. A
 * control byte, for which neither has room, becomes `?`: no line can be
 * forged. Parsing gives back every address that parsing gave. Brackets are
 * the caller's, so the null sender appends nothing.
 */
void address_quote(struct str *to, struct view address);

/* The parts around the last `@`; domain is empty (p NULL) without one. */
struct view address_local(struct view address);
struct view address_domain(struct view address);

/* Equal as mailboxes: local byte for byte, domain without case. */
bool address_eq(struct view a, struct view b);

bool address_is_ascii(struct view address);
/* Well-formed UTF-8 (no surrogates, no overlong forms, RFC 3629). */
bool utf8_valid(struct view v);

/* `[192.0.2.1]` or `[IPv6:2001:db8::1]`, brackets included. */
bool address_is_literal(struct view domain);

#endif
