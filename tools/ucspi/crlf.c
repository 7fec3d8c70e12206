#include "tools/ucspi/crlf.h"

void crlf_add(struct str *to, struct view bytes)
{
	while (bytes.len) {
		size_t len = view_find(bytes, '\n');

		str_append(to, view_first(bytes, len));
		if (len == bytes.len)
			return;
		str_append_c(to, "\r\n");
		bytes = view_from(bytes, len + 1);
	}
}

void crlf_fix(struct crlf *c, struct str *to, struct view bytes)
{
	while (bytes.len) {
		size_t len = view_find(bytes, '\n');

		str_append(to, view_first(bytes, len));
		if (len)
			c->cr = bytes.p[len - 1] == '\r';
		if (len == bytes.len)
			return;
		str_append_c(to, c->cr ? "\n" : "\r\n");
		c->cr = false;
		bytes = view_from(bytes, len + 1);
	}
}

void crlf_delete(struct crlf *c, struct str *to, struct view bytes)
{
	while (bytes.len) {
		size_t len;

		if (c->cr && bytes.p[0] != '\n')
			str_append_byte(to, '\r');
		len = view_find(bytes, '\r');
		str_append(to, view_first(bytes, len));
		c->cr = len < bytes.len;
		bytes = view_from(bytes, c->cr ? len + 1 : len);
	}
}

void crlf_delete_end(struct crlf *c, struct str *to)
{
	if (c->cr)
		str_append_byte(to, '\r');
	c->cr = false;
}
