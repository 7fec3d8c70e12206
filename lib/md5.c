#include "lib/md5.h"

/* RFC 1321 section 3.4: floor(2^32 * |sin(i + 1)|). */
static const uint32_t sines[64] = {
	0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
	0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
	0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
	0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
	0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
	0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
	0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
	0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
	0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
	0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
	0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const unsigned char turns[4][4] = {
	{ 7, 12, 17, 22 },
	{ 5, 9, 14, 20 },
	{ 4, 11, 16, 23 },
	{ 6, 10, 15, 21 },
};

static uint32_t rotate(uint32_t x, unsigned bits)
{
	return x << bits | x >> (32 - bits);
}

/* The mixing function of a round, and which word it takes. */
static uint32_t mix(unsigned step, uint32_t b, uint32_t c, uint32_t d,
		    unsigned *word)
{
	switch (step / 16) {
	case 0:
		*word = step;
		return (b & c) | (~b & d);
	case 1:
		*word = (5 * step + 1) % 16;
		return (b & d) | (c & ~d);
	case 2:
		*word = (3 * step + 5) % 16;
		return b ^ c ^ d;
	default:
		*word = (7 * step) % 16;
		return c ^ (b | ~d);
	}
}

static void digest_block(uint32_t state[4], const unsigned char *block)
{
	uint32_t words[16];
	uint32_t a = state[0];
	uint32_t b = state[1];
	uint32_t c = state[2];
	uint32_t d = state[3];

	for (size_t i = 0; i < 16; i++)
		words[i] = (uint32_t)block[4 * i] |
			   (uint32_t)block[4 * i + 1] << 8 |
			   (uint32_t)block[4 * i + 2] << 16 |
			   (uint32_t)block[4 * i + 3] << 24;
	for (unsigned step = 0; step < 64; step++) {
		unsigned word;
		uint32_t f = mix(step, b, c, d, &word);
		uint32_t sum = a + f + sines[step] + words[word];

		a = d;
		d = c;
		c = b;
		b += rotate(sum, turns[step / 16][step % 4]);
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	explicit_bzero(words, sizeof(words));
}

void md5_init(struct md5 *md5)
{
	*md5 = (struct md5){
		.state = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 },
	};
}

void md5_add(struct md5 *md5, struct view bytes)
{
	while (bytes.len) {
		size_t at = md5->length % sizeof(md5->block);
		size_t room = sizeof(md5->block) - at;
		size_t count = bytes.len < room ? bytes.len : room;

		memcpy(md5->block + at, bytes.p, count);
		md5->length += count;
		bytes = view_from(bytes, count);
		if (count == room)
			digest_block(md5->state, md5->block);
	}
}

void md5_end(struct md5 *md5, unsigned char sum[MD5_BYTES])
{
	static const char padding[64] = { '\x80' };
	uint64_t bits = md5->length * 8;
	size_t at = md5->length % 64;
	unsigned char count[8];

	for (size_t i = 0; i < 8; i++)
		count[i] = (unsigned char)(bits >> (8 * i));
	md5_add(md5, view_make(padding, (at < 56 ? 56 : 120) - at));
	md5_add(md5, view_make(count, sizeof(count)));
	for (size_t i = 0; i < MD5_BYTES; i++)
		sum[i] = (unsigned char)(md5->state[i / 4] >> (8 * (i % 4)));
	explicit_bzero(md5, sizeof(*md5));
}

void md5_hmac(struct view key, struct view text, unsigned char sum[MD5_BYTES])
{
	unsigned char inner[64] = { 0 };
	unsigned char outer[64];
	struct md5 md5;

	if (key.len > sizeof(inner)) {
		md5_init(&md5);
		md5_add(&md5, key);
		md5_end(&md5, inner);
	} else if (key.len) {
		memcpy(inner, key.p, key.len);
	}
	for (size_t i = 0; i < sizeof(inner); i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	md5_init(&md5);
	md5_add(&md5, view_make(inner, sizeof(inner)));
	md5_add(&md5, text);
	md5_end(&md5, sum);
	md5_init(&md5);
	md5_add(&md5, view_make(outer, sizeof(outer)));
	md5_add(&md5, view_make(sum, MD5_BYTES));
	md5_end(&md5, sum);
	explicit_bzero(inner, sizeof(inner));
	explicit_bzero(outer, sizeof(outer));
}

void md5_hex(const unsigned char sum[MD5_BYTES], char hex[MD5_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < MD5_BYTES; i++) {
		hex[2 * i] = digits[sum[i] >> 4];
		hex[2 * i + 1] = digits[sum[i] & 15];
	}
	hex[MD5_HEX] = '\0';
}
