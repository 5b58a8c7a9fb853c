/* A metrics.csv of anybody's: no byte outside is read, and the best is never worse than the last.
 */
#include "programs/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct metrics m;
    metrics_parse((struct span){data, size}, &m);
    assert(!(m.last.val_loss < m.best.val_loss));
    assert(m.n_lines <= size);
    return 0;
}
