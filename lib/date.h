#ifndef LIB_DATE_H
#define LIB_DATE_H

/*
 * Dates for message headers, always in UTC (RFC 5322 section 3.3), computed
 * here: static programs carry no time zone files.
 */

#include <stdint.h>

#include "lib/str.h"

/* Append `22 Nov 2026 09:08:43 -0000` (qmail's form; no newline). */
void date_format(struct str *to, int64_t unix_s);
/* Append `Sun, 22 Nov 2026 09:08:43 +0000`. */
void date_format_weekday(struct str *to, int64_t unix_s);
/* Append `Sun Nov 22 09:08:43 2026`, for mbox From_ lines. */
void date_format_ctime(struct str *to, int64_t unix_s);

#endif
