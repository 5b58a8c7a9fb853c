/* A view's record: what is taken is applied to samples or refused in words, whatever its text. */
#include "base/err.h"
#include "programs/view_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct view_record view;
    float samples[64] = {1, 0.5f, -0.25f};
    if (!view_record_parse((struct span){data, size}, &view, &e)) {
        assert(e.msg[0] != '\0');
        return 0;
    }
    struct augment *augment = augment_new(NULL, 8000);
    if (!augment_apply_record(augment, view.augment, samples, 64, &e))
        assert(e.msg[0] != '\0');
    augment_free(augment);
    return 0;
}
