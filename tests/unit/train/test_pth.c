/*
 * PyTorch's files: what torch.save wrote (tests/golden/train/make_pth.py), and what it never
 * writes. Runs in the repository's root.
 */
#include "base/file.h"
#include "base/mem.h"
#include "tests/test.h"
#include "train/pickle.h"
#include "train/pth.h"

#define FOLDER "tests/fuzz/corpus/pth/"

static struct buf file;

static void load(const char *name)
{
    struct err e = {0};
    char path[PATH_BYTES];
    snprintf(path, sizeof path, FOLDER "%s", name);
    buf_release(&file);
    buf_init(&file, 1 << 20);
    CHECK_OK(file_read_all(path, &file, &e), &e);
}

static void check_tensor(const struct pth *p, const char *name, const char *dtype, uint32_t n_dims,
                         const uint64_t *dims, const void *values, size_t n_bytes)
{
    const struct safetensor *t = safetensors_find(&p->tensors, name);
    if (t == NULL || strcmp(t->dtype, dtype) != 0 || t->n_dims != n_dims ||
        memcmp(t->dims, dims, n_dims * sizeof *dims) != 0 || t->n_bytes != n_bytes ||
        memcmp(t->bytes, values, n_bytes) != 0)
        test_fail(__FILE__, __LINE__, name);
}

/* The tensors of make_pth.py. */
static void check_all(const char *name)
{
    static const float weight[] = {0, 1, 2, 3, 4, 5}, transposed[] = {0, 3, 1, 4, 2, 5};
    static const float b[] = {1.5f, -2.0f};
    static const double slice[] = {2, 4, 6};
    static const uint16_t half[] = {0x3800, 0x4000}, bf[] = {0x3f00, 0x4000};
    static const int64_t seven = 7;
    struct pth p;
    struct err e = {0};
    load(name);
    CHECK(pth_is_one(buf_span(&file)));
    CHECK_OK(pth_parse(buf_span(&file), &p, &e), &e);
    CHECK_U64(p.tensors.n_tensors, 8);
    check_tensor(&p, "a.weight", "F32", 2, (uint64_t[]){2, 3}, weight, sizeof weight);
    check_tensor(&p, "a.t", "F32", 2, (uint64_t[]){3, 2}, transposed, sizeof transposed);
    check_tensor(&p, "b", "F32", 1, (uint64_t[]){2}, b, sizeof b);
    check_tensor(&p, "half", "F16", 1, (uint64_t[]){2}, half, sizeof half);
    check_tensor(&p, "bf", "BF16", 1, (uint64_t[]){2}, bf, sizeof bf);
    check_tensor(&p, "n.num_batches_tracked", "I64", 0, (uint64_t[]){0}, &seven, sizeof seven);
    check_tensor(&p, "slice", "F64", 1, (uint64_t[]){3}, slice, sizeof slice);
    check_tensor(&p, "empty", "F32", 2, (uint64_t[]){0, 3}, "", 0);
    pth_release(&p);
    pth_release(&p);
}

static void test_zip(void)
{
    check_all("zip");
}

static void test_legacy(void)
{
    check_all("legacy");
}

static void test_checkpoint_around_a_state_dict(void)
{
    check_all("nested");
}

/* A state_dict has attributes (_metadata), which are dropped. */
static void test_state_dict_of_a_module(void)
{
    struct pth p;
    struct err e = {0};
    load("linear");
    CHECK_OK(pth_parse(buf_span(&file), &p, &e), &e);
    CHECK_U64(p.tensors.n_tensors, 2);
    CHECK(safetensors_find(&p.tensors, "weight") != NULL);
    CHECK(safetensors_find(&p.tensors, "bias") != NULL);
    pth_release(&p);
}

static void check_refused(struct span bytes, const char *part)
{
    struct pth p;
    struct err e = {0};
    CHECK(!pth_parse(bytes, &p, &e));
    CHECK_U64(e.kind, ERR_PERM);
    if (strstr(e.msg, part) == NULL) {
        test_fail(__FILE__, __LINE__, part);
        printf("#   got \"%s\"\n", e.msg);
    }
    pth_release(&p);
}

/* Whole modules name their classes: refused, with the name and what to do instead. */
static void test_a_module_is_refused(void)
{
    load("module");
    check_refused(buf_span(&file), "torch.nn.modules.linear.Linear");
    check_refused(buf_span(&file), "state_dict");
}

/* The classic: a pickle that runs a command. Nothing is run. */
static void test_hostile_pickle(void)
{
    static const char evil[] = "\x80\2cos\nsystem\nX\x14\0\0\0touch /tmp/pth-evil-1\x85R.";
    static const char in_legacy[] =
        "\x80\2\x8a\n\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.\x80\2}.";
    uint8_t bytes[256];
    memcpy(bytes, in_legacy, sizeof in_legacy - 1);
    memcpy(bytes + sizeof in_legacy - 1, evil, sizeof evil - 1);
    check_refused((struct span){bytes, sizeof in_legacy + sizeof evil - 2}, "os.system");
    CHECK(!file_exists("/tmp/pth-evil-1"));
}

static void check_pickle(const char *bytes, size_t n, const char *part)
{
    struct pickle p;
    struct err e = {0};
    size_t used;
    uint32_t root;
    pickle_init(&p);
    bool ok = pickle_run(&p, (struct span){bytes, n}, &used, &root, &e);
    CHECK(ok == (part == NULL));
    if (part != NULL && strstr(e.msg, part) == NULL) {
        test_fail(__FILE__, __LINE__, part);
        printf("#   got \"%s\"\n", e.msg);
    }
    pickle_release(&p);
}
#define PICKLE(text, part) check_pickle(text, sizeof(text) - 1, part)

static void test_pickles_that_lie(void)
{
    PICKLE("\x80\2}.", NULL);
    PICKLE("\x80\4}.", "protocol");
    PICKLE("", "ends too early");
    PICKLE("}", "ends too early");
    PICKLE(".", "stack is empty");
    PICKLE("(.", "mark");
    PICKLE("}}.", "more than one");
    PICKLE("h\7.", "memo");
    PICKLE("}r\xff\xff\xff\xff.", "memo");
    PICKLE("X\xff\xff\xff\xff"
           "a.",
           "ends too early");
    PICKLE("t.", "no mark");
    PICKLE("](}u.", "items");
    PICKLE("}(Nu.", "items");
    PICKLE("]R.", "stack is empty");
    PICKLE("])R.", "called");
    PICKLE("ctorch\nFloatStorage\n)R.", "called");
    PICKLE("ctorch._utils\n_rebuild_tensor_v2\n)R.", "tensor without");
    PICKLE("ctorch._utils\n_rebuild_parameter\n)R.", "parameter without");
    PICKLE("ccollections\nOrderedDict\nN\x85R.", "something else");
    PICKLE("ccollections\nOrderedDict\n]Na\x85R.", "pairs");
    PICKLE(")Q.", "no storage");
    PICKLE("]}b.", "attributes");
    PICKLE("cbuiltins\neval\n.", "builtins.eval");
    PICKLE("i.", "opcode 0x69");
    PICKLE("\x8a\x09"
           "123456789.",
           "more than 8");
    PICKLE("c"
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
           "does not end");
    PICKLE("NNNs.", "items");
    PICKLE("}q\0Nh\0s.", NULL); /* a dictionary within itself */
}

/* Memory is bounded whatever the program pushes. */
static void test_limits(void)
{
    enum { N = 1 << 19 };
    char *bytes = mem_alloc(N, 1);
    memset(bytes, 'N', N);
    check_pickle(bytes, N, "too deep");
    bytes[0] = ']';
    for (size_t i = 1; i + 2 <= N; i += 2)
        memcpy(bytes + i, "Na", 2);
    check_pickle(bytes, N, "too many");
    mem_free(bytes);
}

/* Every cut is refused; every changed byte of a storage fails its CRC. */
static void test_cut_and_damaged(void)
{
    static const char *const names[] = {"zip", "legacy"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        load(names[k]);
        for (size_t n = 0; n < file.len; n++)
            check_refused((struct span){file.data, n}, "");
    }
    load("zip");
    static const float four = 4.0f;
    uint8_t *storage = memmem(file.data, file.len, &four, sizeof four);
    CHECK(storage != NULL);
    if (storage != NULL)
        storage[1] ^= 1;
    check_refused(buf_span(&file), "CRC");
}

int main(void)
{
    RUN(test_zip);
    RUN(test_legacy);
    RUN(test_checkpoint_around_a_state_dict);
    RUN(test_state_dict_of_a_module);
    RUN(test_a_module_is_refused);
    RUN(test_hostile_pickle);
    RUN(test_pickles_that_lie);
    RUN(test_limits);
    RUN(test_cut_and_damaged);
    buf_release(&file);
    return test_done();
}
