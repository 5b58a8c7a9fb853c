#include "programs/view_record.h"

#include "base/file.h"
#include "store/json_scan.h"

#include <string.h>

bool view_record_parse(struct span json, struct view_record *out, struct err *e)
{
    struct json_scan j;
    char name[JSON_SCAN_KEY_BYTES];
    bool has_augment = false, more = false;
    *out = (struct view_record){0};
    json_scan_init(&j, json);
    bool ok = json_scan_begin(&j, '{', e) && json_scan_member(&j, name, &more, e);
    while (ok && more) {
        if (strcmp(name, "augment") == 0) {
            has_augment = true;
            ok = json_scan_string(&j, out->augment, sizeof out->augment, e);
        } else if (strcmp(name, "start_ms") == 0) {
            out->has_start = true;
            ok = json_scan_u64(&j, &out->start_ms, e);
        } else if (strcmp(name, "spec") == 0) {
            out->has_spec = true;
            ok = json_scan_hex64(&j, &out->spec_hash, e);
        } else if (strcmp(name, "source") == 0) {
            out->has_source = true;
            ok = json_scan_hex64(&j, &out->source_id, e);
        } else {
            ok = json_scan_skip(&j, e);
        }
        ok = ok && json_scan_member(&j, name, &more, e);
    }
    if (ok && !has_augment)
        ok = err_set(e, ERR_PERM, "there is no \"augment\" in it");
    return ok || err_wrap(e, "the view's record");
}

bool view_record_read(const char *json_or_path, struct view_record *out, struct err *e)
{
    struct buf file;
    size_t n = strlen(json_or_path);
    if (json_or_path[strspn(json_or_path, " \t\n")] == '{')
        return view_record_parse((struct span){json_or_path, n}, out, e);
    buf_init(&file, VIEW_RECORD_MAX_BYTES);
    bool ok = file_read_all(json_or_path, &file, e);
    if (ok && !view_record_parse(buf_span(&file), out, e))
        ok = err_wrap(e, "%s", json_or_path);
    buf_release(&file);
    return ok;
}
