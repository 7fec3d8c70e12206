#include "lib/checksum.h"

/*
 * Slicing by 8: table k says what a byte becomes when k more bytes follow
 * it. A CRC is linear, so an entry is the sum (xor) of the entries of its
 * bits, and the compiler builds the tables from eight numbers each, those
 * of the bytes 1, 2, 4 ... 128.
 */
#define BIT(n, b, value) ((n) >> (b)&1 ? (value) : 0U)
#define ENTRY(n, a, b, c, d, e, f, g, h)                                       \
	(BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^           \
	 BIT(n, 4, e) ^ BIT(n, 5, f) ^ BIT(n, 6, g) ^ BIT(n, 7, h))
#define FOUR(n, ...)                                                           \
	ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__),                    \
		ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define SIXTEEN(n, ...)                                                        \
	FOUR(n, __VA_ARGS__), FOUR((n) + 4, __VA_ARGS__),                      \
		FOUR((n) + 8, __VA_ARGS__), FOUR((n) + 12, __VA_ARGS__)
#define SIXTY_FOUR(n, ...)                                                     \
	SIXTEEN(n, __VA_ARGS__), SIXTEEN((n) + 16, __VA_ARGS__),               \
		SIXTEEN((n) + 32, __VA_ARGS__), SIXTEEN((n) + 48, __VA_ARGS__)
#define TABLE(...)                                                             \
	SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__),               \
		SIXTY_FOUR(128, __VA_ARGS__), SIXTY_FOUR(192, __VA_ARGS__)

static const uint32_t tables[8][256] = {
	{ TABLE(0xf26b8303U, 0xe13b70f7U, 0xc79a971fU, 0x8ad958cfU, 0x105ec76fU,
		0x20bd8edeU, 0x417b1dbcU, 0x82f63b78U) },
	{ TABLE(0x13a29877U, 0x274530eeU, 0x4e8a61dcU, 0x9d14c3b8U, 0x3fc5f181U,
		0x7f8be302U, 0xff17c604U, 0xfbc3faf9U) },
	{ TABLE(0xa541927eU, 0x4f6f520dU, 0x9edea41aU, 0x38513ec5U, 0x70a27d8aU,
		0xe144fb14U, 0xc76580d9U, 0x8b277743U) },
	{ TABLE(0xdd45aab8U, 0xbf672381U, 0x7b2231f3U, 0xf64463e6U, 0xe964b13dU,
		0xd725148bU, 0xaba65fe7U, 0x52a0c93fU) },
	{ TABLE(0x38116facU, 0x7022df58U, 0xe045beb0U, 0xc5670b91U, 0x8f2261d3U,
		0x1ba8b557U, 0x37516aaeU, 0x6ea2d55cU) },
	{ TABLE(0xef306b19U, 0xdb8ca0c3U, 0xb2f53777U, 0x6006181fU, 0xc00c303eU,
		0x85f4168dU, 0x0e045bebU, 0x1c08b7d6U) },
	{ TABLE(0x68032cc8U, 0xd0065990U, 0xa5e0c5d1U, 0x4e2dfd53U, 0x9c5bfaa6U,
		0x3d5b83bdU, 0x7ab7077aU, 0xf56e0ef4U) },
	{ TABLE(0x493c7d27U, 0x9278fa4eU, 0x211d826dU, 0x423b04daU, 0x847609b4U,
		0x0d006599U, 0x1a00cb32U, 0x34019664U) },
};

static uint32_t le32(const unsigned char *b)
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static uint32_t eight_bytes(uint32_t crc, const unsigned char *b)
{
	uint32_t low = crc ^ le32(b);
	uint32_t high = le32(b + 4);

	return tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^
	       tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
	       tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
	       tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
}

uint32_t crc32c_portable(uint32_t crc, struct view bytes)
{
	const unsigned char *b = (const unsigned char *)bytes.p;
	size_t left = bytes.len;

	crc = ~crc;
	for (; left >= 8; left -= 8, b += 8)
		crc = eight_bytes(crc, b);
	for (; left; left--, b++)
		crc = tables[0][(crc ^ *b) & 255] ^ crc >> 8;
	return ~crc;
}

#ifdef __x86_64__

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t with_sse(uint32_t crc,
							   struct view bytes)
{
	const char *b = bytes.p;
	size_t left = bytes.len;
	uint64_t wide = ~crc;

	for (; left >= 8; left -= 8, b += 8) {
		uint64_t word;

		memcpy(&word, b, sizeof(word));
		wide = _mm_crc32_u64(wide, word);
	}
	crc = (uint32_t)wide;
	for (; left; left--, b++)
		crc = _mm_crc32_u8(crc, (unsigned char)*b);
	return ~crc;
}

bool crc32c_hardware(uint32_t *crc, struct view bytes)
{
	if (!__builtin_cpu_supports("sse4.2"))
		return false;
	*crc = with_sse(*crc, bytes);
	return true;
}

#else

bool crc32c_hardware(uint32_t *crc, struct view bytes)
{
	(void)crc;
	(void)bytes;
	return false;
}

#endif

uint32_t crc32c(uint32_t crc, struct view bytes)
{
	if (crc32c_hardware(&crc, bytes))
		return crc;
	return crc32c_portable(crc, bytes);
}
