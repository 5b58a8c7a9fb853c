/* Whatever the bytes: the escaped text holds no markup, no control character, and is UTF-8. */
#include "base/mem.h"
#include "programs/html.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
    assert(strpbrk(text, "<>\"'") == NULL);
    while (*text != '\0') {
        size_t len = utf8_char_bytes(text);
        assert(len > 0);
        assert((uint8_t)*text >= 0x20 || *text == '\t' || *text == '\n');
        text += len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = mem_alloc(size + 1, 1), *escaped = NULL;
    size_t escaped_bytes = 0;
    memcpy(text, data, size);
    text[size] = '\0';
    FILE *out = open_memstream(&escaped, &escaped_bytes);
    assert(out != NULL);
    html_text_cut(out, text, size % 7 == 0 ? size / 2 : SIZE_MAX);
    fclose(out);
    check(escaped);
    free(escaped);
    mem_free(text);
    return 0;
}
