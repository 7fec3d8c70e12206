#include "tools/vpopmail/vuser.h"

#include <errno.h>

#include "lib/die.h"
#include "lib/password.h"
#include "lib/vquota.h"
#include "tools/vpopmail/vfolder.h"

enum va_code vuser_set_password(struct vpasswd_record *record,
				struct view password, bool store_clear,
				struct str *space)
{
	if (password_hash(space, password) == -1) {
		warn_errno("cannot hash the password");
		return VA_CRYPT_FAILED;
	}
	record->crypt = str_view(space);
	record->clear = store_clear ? password : (struct view){ 0 };
	return VA_SUCCESS;
}

/* Fill in crypt, clear and quota. */
static enum va_code fill(struct vpasswd_record *record,
			 const struct vuser *user, struct str *crypt,
			 struct str *quota)
{
	struct vquota limit;

	if (vquota_parse(user->quota, &limit) == -1) {
		warn("not a quota: %.*s", (int)user->quota.len, user->quota.p);
		return VA_BAD_CHAR;
	}
	vquota_format(quota, &limit);
	record->quota = str_view(quota);
	if (!vpasswd_is_field(record->gecos) ||
	    (user->hashed && !vpasswd_is_field(user->password)))
		return VA_BAD_CHAR;
	if (user->none)
		return VA_SUCCESS;
	if (!user->hashed)
		return vuser_set_password(record, user->password,
					  user->store_clear, crypt);
	record->crypt = user->password;
	return VA_SUCCESS;
}

static enum va_code make_folder(int domainfd, const char *name)
{
	if (vfolder_make(domainfd, name) == 0)
		return VA_SUCCESS;
	if (errno == EEXIST)
		return VA_EXIST_U_DIR;
	warn_errno("cannot make the directory %s", name);
	return VA_SUBDIR_CREATION;
}

enum va_code vuser_add(struct vpasswd_edit *edit, struct view domain_dir,
		       const struct vuser *user)
{
	struct vpasswd_record record;
	struct str crypt = { 0 };
	struct str quota = { 0 };
	struct str dir = { 0 };
	struct str name = { 0 };
	enum va_code code = VA_USERNAME_EXISTS;

	if (vpasswd_edit_find(edit, user->name, &record))
		return code;
	str_set(&name, user->name);
	str_append(&dir, domain_dir);
	str_append_byte(&dir, '/');
	str_append(&dir, user->name);
	record = (struct vpasswd_record){
		.name = user->name,
		.gecos = user->gecos.len ? user->gecos : user->name,
		.dir = str_view(&dir),
	};
	code = fill(&record, user, &crypt, &quota);
	if (code == VA_SUCCESS)
		code = make_folder(edit->domainfd, str_c(&name));
	if (code == VA_SUCCESS && vpasswd_edit_put(edit, &record) == -1)
		code = VA_BAD_CHAR;
	str_wipe(&crypt);
	str_free(&quota);
	str_free(&dir);
	str_free(&name);
	return code;
}
