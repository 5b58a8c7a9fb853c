/*
 * Weights of others: an RGB resnet18 as timm ships it, in all float types, and files that are
 * something else. The files are made here.
 */
#include "base/hash.h"
#include "base/mem.h"
#include "tests/test.h"
#include "train/checkpoint.h"
#include "train/weights.h"

#include <unistd.h>

enum { FRAMES = 16, MELS = 16, CLASSES = 10 };

static char path[64];
static struct net *net;

/* What tensor `name` holds at i in the foreign file; a variance is positive. */
static float foreign_value(const char *name, size_t i)
{
    uint64_t bits = hash_mix64(hash64(name, strlen(name), 5) + i);
    float v = (float)((double)(bits >> 40) * 0x1p-23 - 1.0);
    return strstr(name, "running_var") != NULL ? fabsf(v) : v;
}

struct foreign {
    struct safetensors st;
    size_t n_values;
    float *values[NET_PARAMS_MAX];
};

static void foreign_add(struct foreign *f, const char *name, const uint64_t *dims, uint32_t n_dims)
{
    size_t count = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        count *= dims[i];
    float *values = f->values[f->n_values++] = mem_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = foreign_value(name, i);
    safetensors_add(&f->st, name, "F32", dims, n_dims, values);
}

/* torchvision's resnet18 with three input channels, ten classes and the counters; `skip` is left
 * out. */
static void foreign_init(struct foreign *f, const char *prefix, const char *skip)
{
    static const int64_t counter = 7;
    const struct params *p = net_params(net);
    *f = (struct foreign){0};
    safetensors_init(&f->st);
    for (size_t i = 0; i < p->n; i++) {
        const struct param *item = &p->items[i];
        char name[SAFETENSORS_NAME_BYTES];
        uint64_t dims[4];
        for (uint32_t k = 0; k < item->n_dims; k++)
            dims[k] = (uint64_t)item->dims[k];
        if (strcmp(item->name, "conv1.weight") == 0)
            dims[1] = 3;
        if (strncmp(item->name, "fc.", 3) == 0)
            dims[0] = CLASSES;
        snprintf(name, sizeof name, "%s%s", prefix, item->name);
        if (strcmp(item->name, skip) != 0)
            foreign_add(f, name, dims, item->n_dims);
    }
    char name[SAFETENSORS_NAME_BYTES];
    snprintf(name, sizeof name, "%sbn1.num_batches_tracked", prefix);
    safetensors_add(&f->st, name, "I64", NULL, 0, &counter);
}

static void foreign_release(struct foreign *f)
{
    safetensors_release(&f->st);
    for (size_t i = 0; i < f->n_values; i++)
        mem_free(f->values[i]);
}

static const float *value(const char *name)
{
    return net_params(net)->value + params_find(net_params(net), name)->offset;
}

static void check_loaded(const char *prefix)
{
    char name[SAFETENSORS_NAME_BYTES];
    snprintf(name, sizeof name, "%sconv1.weight", prefix);
    for (size_t i = 0; i < 64 * 49; i++) { /* [64][3][49] summed over 3 */
        float sum = 0.0f;
        for (size_t c = 0; c < 3; c++)
            sum += foreign_value(name, (i / 49 * 3 + c) * 49 + i % 49);
        CHECK(value("conv1.weight")[i] == sum);
    }
    static const char *const some[] = {"layer1.0.conv1.weight", "layer4.1.bn2.running_var",
                                       "layer2.0.downsample.1.bias"};
    for (size_t k = 0; k < ARRAY_LEN(some); k++) {
        snprintf(name, sizeof name, "%s%s", prefix, some[k]);
        for (size_t i = 0; i < params_find(net_params(net), some[k])->count; i++)
            CHECK(value(some[k])[i] == foreign_value(name, i));
    }
}

static void test_rgb_resnet18(void)
{
    static const char *const prefixes[] = {"", "module."};
    for (size_t k = 0; k < ARRAY_LEN(prefixes); k++) {
        struct foreign f;
        struct weights_report r;
        struct err e = {0};
        model_init(net_params(net), 1);
        float fc = value("fc.weight")[0];
        foreign_init(&f, prefixes[k], "");
        CHECK_OK(safetensors_write(&f.st, path, &e), &e);
        CHECK_OK(weights_load(path, net_params(net), &r, &e), &e);
        CHECK_U64(r.n_loaded, 100);
        CHECK(r.summed);
        CHECK_STR(r.kept.text, "fc.weight, fc.bias");
        CHECK_U64(r.surplus.n, 0);
        CHECK(value("fc.weight")[0] == fc);
        check_loaded(prefixes[k]);
        foreign_release(&f);
    }
}

static void test_surplus_is_listed(void)
{
    struct foreign f;
    struct weights_report r;
    struct err e = {0};
    foreign_init(&f, "", "");
    foreign_add(&f, "attention.weight", (uint64_t[]){3}, 1);
    for (int i = 0; i < 20; i++) {
        char name[40];
        snprintf(name, sizeof name, "a.rather.long.name.%d", i);
        foreign_add(&f, name, (uint64_t[]){1}, 1);
    }
    CHECK_OK(weights_apply(&f.st, net_params(net), &r, &e), &e);
    CHECK_U64(r.surplus.n, 21);
    CHECK(strncmp(r.surplus.text, "attention.weight, a.rather.long.name.0, ", 40) == 0);
    CHECK(strcmp(r.surplus.text + strlen(r.surplus.text) - 5, ", ...") == 0);
    foreign_release(&f);
}

/* Every float type, with values that all can hold. */
static void test_types(void)
{
    static const float want[4] = {1.5f, -0.25f, 0.0f, 1024.0f};
    static const uint16_t f16[4] = {0x3e00, 0xb400, 0, 0x6400},
                          bf16[4] = {0x3fc0, 0xbe80, 0, 0x4480};
    static const double f64[4] = {1.5, -0.25, 0.0, 1024.0};
    static const struct {
        const char *dtype;
        const void *bytes;
        size_t size;
    } types[] = {{"F32", want, 4}, {"F16", f16, 2}, {"BF16", bf16, 2}, {"F64", f64, 8}};
    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        struct foreign f;
        struct weights_report r;
        struct err e = {0};
        uint8_t bytes[64 * 8];
        for (size_t i = 0; i < 64; i++)
            memcpy(bytes + i * types[t].size,
                   (const uint8_t *)types[t].bytes + i % 4 * types[t].size, types[t].size);
        foreign_init(&f, "", "bn1.weight");
        safetensors_add(&f.st, "bn1.weight", types[t].dtype, (uint64_t[]){64}, 1, bytes);
        CHECK_OK(weights_apply(&f.st, net_params(net), &r, &e), &e);
        for (size_t i = 0; i < 64; i++)
            CHECK(value("bn1.weight")[i] == want[i % 4]);
        foreign_release(&f);
    }
}

static void check_refused(const struct foreign *f, const char *part)
{
    struct weights_report r;
    struct err e = {0};
    CHECK(!weights_apply(&f->st, net_params(net), &r, &e));
    if (strstr(e.msg, part) == NULL) {
        test_fail(__FILE__, __LINE__, part);
        printf("#   got \"%s\"\n", e.msg);
    }
}

static void test_another_network(void)
{
    struct foreign f;
    foreign_init(&f, "", "layer3.1.conv2.weight");
    check_refused(&f, "1 are missing (layer3.1.conv2.weight)");
    foreign_add(&f, "layer3.1.conv2.weight", (uint64_t[]){256, 256, 1, 1}, 4);
    check_refused(&f, "1 have another shape (layer3.1.conv2.weight)");
    foreign_release(&f);
    struct foreign other = {0};
    safetensors_init(&other.st);
    foreign_add(&other, "encoder.weight", (uint64_t[]){4}, 1);
    check_refused(&other, "100 are missing");
    check_refused(&other, "1 others (encoder.weight)");
    foreign_release(&other);
}

static void test_bad_values(void)
{
    struct foreign f;
    float values[64] = {0};
    int64_t whole[64] = {0};
    foreign_init(&f, "", "bn1.running_var");
    safetensors_add(&f.st, "bn1.running_var", "F32", (uint64_t[]){64}, 1, values);
    values[9] = -1.0f;
    check_refused(&f, "bn1.running_var: value 9 is a variance below 0");
    values[9] = NAN;
    check_refused(&f, "bn1.running_var: value 9 is not a finite number");
    foreign_release(&f);
    foreign_init(&f, "", "bn1.bias");
    safetensors_add(&f.st, "bn1.bias", "I64", (uint64_t[]){64}, 1, whole);
    check_refused(&f, "bn1.bias is of type I64");
    foreign_release(&f);
}

/* Cut anywhere, or no such file: a sentence with the path. */
static void test_cut_files(void)
{
    struct foreign f;
    struct weights_report r;
    struct err e = {0};
    foreign_init(&f, "", "");
    CHECK_OK(safetensors_write(&f.st, path, &e), &e);
    static const long cuts[] = {20000000, 10000, 8, 3, 0};
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        e = (struct err){0};
        CHECK(truncate(path, cuts[i]) == 0);
        CHECK(!weights_load(path, net_params(net), &r, &e));
        CHECK(strstr(e.msg, path) != NULL);
    }
    CHECK(!weights_load("/nonexistent/file", net_params(net), &r, &e));
    CHECK(strstr(e.msg, "/nonexistent/file") != NULL);
    foreign_release(&f);
}

int main(void)
{
    struct err e = {0};
    struct model_spec spec = {"resnet18", FRAMES, MELS, 0.0, "all"};
    snprintf(path, sizeof path, "/tmp/refrain-weights-%d", (int)getpid());
    net = net_new(&backend_ref, 1, 1);
    if (!model_build(net, &spec, 3, &e)) {
        printf("Bail out! %s\n", e.msg);
        return 1;
    }
    RUN(test_rgb_resnet18);
    RUN(test_surplus_is_listed);
    RUN(test_types);
    RUN(test_another_network);
    RUN(test_bad_values);
    RUN(test_cut_files);
    net_free(net);
    unlink(path);
    return test_done();
}
