#include "tools/ucspi/proxy.h"

/* ---- version 1: `PROXY TCP4 source destination port port` ---- */

#define V1_SIGNATURE VIEW("PROXY ")
#define V1_MAX_BYTES 107 /* with its CRLF */

static bool parse_port(struct view text, unsigned *port)
{
	uint64_t number;

	if (text.len > 5 || !view_u64(text, &number) || number > 65535)
		return false;
	*port = (unsigned)number;
	return true;
}

/* An address of this family, which its text shows: ::ffff: is IPv6, too. */
static bool parse_address(struct view text, bool v6, struct ipaddr *ip)
{
	return view_has(text, ':') == v6 && ipaddr_parse(text, ip);
}

/* What stands behind the signature, without the CRLF. */
static enum proxy_result parse_line(struct view line,
				    struct proxy_header *header)
{
	struct view family = view_cut(&line, ' ');
	bool v6 = view_eq(family, VIEW("TCP6"));

	if (view_eq(family, VIEW("UNKNOWN")))
		return PROXY_OK;
	if ((!v6 && !view_eq(family, VIEW("TCP4"))) ||
	    !parse_address(view_cut(&line, ' '), v6, &header->remote_ip) ||
	    !parse_address(view_cut(&line, ' '), v6, &header->local_ip) ||
	    !parse_port(view_cut(&line, ' '), &header->remote_port) ||
	    !parse_port(view_cut(&line, ' '), &header->local_port) || line.p)
		return PROXY_BAD;
	header->is_announced = true;
	return PROXY_OK;
}

static enum proxy_result parse_v1(struct view bytes,
				  struct proxy_header *header)
{
	size_t end = view_find(bytes, '\n');

	if (end == bytes.len)
		return end < V1_MAX_BYTES ? PROXY_MORE : PROXY_BAD;
	if (end >= V1_MAX_BYTES || bytes.p[end - 1] != '\r')
		return PROXY_BAD;
	header->length = end + 1;
	return parse_line(
		view_from(view_first(bytes, end - 1), V1_SIGNATURE.len),
		header);
}

/* ---- version 2 ---- */

#define V2_SIGNATURE VIEW("\r\n\r\n\0\r\nQUIT\n")
#define V2_HEAD_BYTES 16

enum v2_at { /* behind the signature */
	     V2_COMMAND = 12,
	     V2_FAMILY = 13,
	     V2_LENGTH = 14,
};

enum v2_command { /* with the version in the upper half */
		  V2_LOCAL = 0x20,
		  V2_PROXY = 0x21,
};

enum v2_family { /* with the transport in the lower half */
		 V2_UNSPEC = 0x00,
		 V2_TCP4 = 0x11,
		 V2_TCP6 = 0x21,
};

static unsigned byte_at(struct view v, size_t at)
{
	return (unsigned char)v.p[at];
}

static unsigned u16_at(struct view v, size_t at)
{
	return byte_at(v, at) << 8 | byte_at(v, at + 1);
}

/* Source, destination, ports; the address bytes as sockets have them. */
static enum proxy_result parse_addresses(struct view block, bool v6,
					 struct proxy_header *header)
{
	size_t size = v6 ? 16 : 4;

	if (block.len < 2 * size + 4)
		return PROXY_BAD;
	ipaddr_from_bytes(&header->remote_ip, block.p, v6);
	ipaddr_from_bytes(&header->local_ip, block.p + size, v6);
	header->remote_port = u16_at(block, 2 * size);
	header->local_port = u16_at(block, 2 * size + 2);
	header->is_announced = true;
	return PROXY_OK;
}

static enum proxy_result parse_proxied(struct view bytes,
				       struct proxy_header *header)
{
	struct view block = view_from(bytes, V2_HEAD_BYTES);

	switch (byte_at(bytes, V2_FAMILY)) {
	case V2_UNSPEC:
		return PROXY_OK;
	case V2_TCP4:
		return parse_addresses(block, false, header);
	case V2_TCP6:
		return parse_addresses(block, true, header);
	default: /* UDP, Unix sockets: nothing that comes in here */
		return PROXY_BAD;
	}
}

static enum proxy_result parse_v2(struct view bytes,
				  struct proxy_header *header)
{
	unsigned command;
	size_t length;

	if (bytes.len < V2_HEAD_BYTES)
		return PROXY_MORE;
	command = byte_at(bytes, V2_COMMAND);
	length = V2_HEAD_BYTES + u16_at(bytes, V2_LENGTH);
	if ((command != V2_LOCAL && command != V2_PROXY) ||
	    length > PROXY_MAX_BYTES)
		return PROXY_BAD;
	if (bytes.len < length)
		return PROXY_MORE;
	header->length = length;
	return command == V2_LOCAL
		       ? PROXY_OK
		       : parse_proxied(view_first(bytes, length), header);
}

/* ---- either ---- */

/* As far as it has come. */
static bool may_be(struct view bytes, struct view signature)
{
	return view_eq(view_first(bytes, signature.len),
		       view_first(signature, bytes.len));
}

enum proxy_result proxy_parse(struct view bytes, struct proxy_header *header)
{
	*header = (struct proxy_header){ 0 };
	if (may_be(bytes, V1_SIGNATURE))
		return bytes.len < V1_SIGNATURE.len ? PROXY_MORE
						    : parse_v1(bytes, header);
	if (may_be(bytes, V2_SIGNATURE))
		return parse_v2(bytes, header);
	return PROXY_BAD;
}

bool proxy_begins(struct view bytes)
{
	return view_starts(bytes, V1_SIGNATURE) ||
	       view_starts(bytes, V2_SIGNATURE);
}
