#include "train/svg.h"

bool svg_put_text(struct buf *out, const char *text, struct err *e)
{
    for (; *text != '\0'; text++) {
        const char *named = *text == '<'   ? "&lt;"
                            : *text == '>' ? "&gt;"
                            : *text == '&' ? "&amp;"
                                           : NULL;
        if (!(named != NULL ? buf_printf(out, e, "%s", named) : buf_append(out, text, 1, e)))
            return false;
    }
    return true;
}
