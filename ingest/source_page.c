/* Answers of sources; the only file that knows jansson. */
#include "base/mem.h"
#include "ingest/source.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Deezer's errors come with status 200. https://developers.deezer.com/api/errors */
static const struct {
    int64_t code;
    enum source_verdict verdict;
} errors[] = {
    {4, SOURCE_THROTTLED},   /* quota limit exceeded */
    {700, SOURCE_THROTTLED}, /* service busy */
    {500, SOURCE_NOTHING},   /* parameter */
    {501, SOURCE_NOTHING},   /* parameter missing */
    {600, SOURCE_NOTHING},   /* query invalid */
    {800, SOURCE_NOTHING},   /* no data */
    {100, SOURCE_REFUSED},   /* more items asked for than allowed */
    {200, SOURCE_REFUSED},   /* permission */
    {300, SOURCE_REFUSED},   /* token */
    {901, SOURCE_REFUSED},   /* individual account not allowed */
};

/* "artist.name": a dot leads into an object. NULL when any of it is missing. */
static const json_t *json_at(const json_t *object, const char *path)
{
    char key[32];
    while (path != NULL && object != NULL) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        path = path[n] == '.' ? path + n + 1 : NULL;
    }
    return object;
}

/* NULL for what is no text, or one with a NUL in it. */
static const char *text_at(const json_t *object, const char *path)
{
    const json_t *value = json_at(object, path);
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return NULL;
    return json_string_value(value);
}

/* Whole numbers and decimals; 0 for anything else and beyond a day. */
static uint32_t duration_at(const json_t *object, const char *path, uint32_t unit_ms)
{
    const double max_ms = 86400000;
    double ms = json_number_value(json_at(object, path)) * unit_ms;
    return ms > 0 && ms <= max_ms ? (uint32_t)ms : 0;
}

static enum source_verdict read_error(const json_t *error, struct source_page *out)
{
    const char *message = text_at(error, "message");
    const json_t *code = json_object_get(error, "code");
    snprintf(out->why, sizeof out->why, "%s, code %" JSON_INTEGER_FORMAT,
             message == NULL ? "an error without a message" : message, json_integer_value(code));
    for (size_t i = 0; json_is_integer(code) && i < ARRAY_LEN(errors); i++)
        if (errors[i].code == json_integer_value(code))
            return errors[i].verdict;
    return SOURCE_BROKEN;
}

static bool is_usable(const struct source *s, const json_t *object, struct source_item *item)
{
    *item = (struct source_item){
        .title = text_at(object, s->item_title),
        .artist = text_at(object, s->item_artist),
        .url = text_at(object, s->item_url),
        .duration_ms = duration_at(object, s->item_duration, s->grain_ms),
    };
    const char *kind = s->item_kind == NULL ? NULL : text_at(object, s->item_kind);
    bool is_wanted =
        s->item_kind == NULL || (kind != NULL && strcmp(kind, s->item_kind_wanted) == 0);
    return is_wanted && item->title != NULL && item->artist != NULL && item->url != NULL &&
           item->url[0] != '\0' && strlen(item->url) < URL_BYTES_MAX;
}

static enum source_verdict read_page(const struct source *s, const json_t *root,
                                     struct source_page *out)
{
    const json_t *items = json_object_get(root, s->items);
    const json_t *error = json_object_get(root, "error");
    if (json_is_object(error))
        return read_error(error, out);
    if (!json_is_array(items))
        return SOURCE_BROKEN;
    out->n_listed = json_array_size(items);
    for (size_t i = 0; i < out->n_listed && out->n < SOURCE_ITEMS_MAX; i++)
        out->n += is_usable(s, json_array_get(items, i), &out->items[out->n]);
    /* Where the next page is follows from what was listed; its link is not followed. */
    out->has_more = s->has_pages && out->n_listed > 0 && text_at(root, s->next) != NULL;
    return SOURCE_PAGE;
}

static enum source_verdict read_body(const struct source *s, struct span body,
                                     struct source_page *out)
{
    const char *text = body.ptr;
    size_t n = body.len;
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        n -= 3;
    }
    if (n > SOURCE_BODY_BYTES_MAX)
        return SOURCE_BROKEN;
    json_error_t error;
    out->root = n == 0 ? NULL : json_loadb(text, n, JSON_ALLOW_NUL, &error);
    if (out->root == NULL) {
        snprintf(out->why, sizeof out->why, "%s", n == 0 ? "an empty answer" : "no JSON");
        return SOURCE_BROKEN;
    }
    return read_page(s, out->root, out);
}

enum source_verdict source_read(const struct source *s, unsigned status, struct span body,
                                struct source_page *out)
{
    out->n = out->n_listed = 0;
    out->has_more = false;
    out->why[0] = '\0';
    out->root = NULL;
    if (status == 200)
        return read_body(s, body, out);
    snprintf(out->why, sizeof out->why, "status %u", status);
    if (status == 429 || status == 503 || (status == 403 && s->refuses_with_403))
        return SOURCE_THROTTLED;
    if (status == 400 || status == 404)
        return SOURCE_NOTHING;
    return status == 401 || status == 403 ? SOURCE_REFUSED : SOURCE_BROKEN;
}

void source_page_release(struct source_page *p)
{
    json_decref(p->root);
    p->root = NULL;
}
