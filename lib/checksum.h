#ifndef LIB_CHECKSUM_H
#define LIB_CHECKSUM_H

/*
 * CRC-32C (Castagnoli; RFC 3720 appendix B.4), with the processor's
 * instruction where it has one.
 *
 *	uint32_t crc = CRC32C_START;
 *
 *	crc = crc32c(crc, first);
 *	crc = crc32c(crc, second);    pieces give the same as the whole
 */

#include <stdint.h>

#include "lib/str.h"

#define CRC32C_START 0

uint32_t crc32c(uint32_t crc, struct view bytes);

/*
 * The two ways of computing it. Both give the same; crc32c() takes the
 * second when the processor has it, and nobody else should choose.
 */
uint32_t crc32c_portable(uint32_t crc, struct view bytes);
bool crc32c_hardware(uint32_t *crc, struct view bytes); /* false: has none */

#endif
